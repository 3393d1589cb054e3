//! The JSON log format. One object a line: `timestamp`, `level`, the fields of the event, `target`. Values are written
//! without intermediate buffers, because each request logs a line.

use std::{
    cell::RefCell,
    error::Error,
    fmt::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// The event format.
pub(super) struct Json;

/// A field format without output: spans are not logged, so their fields are not formatted.
pub(super) struct NoFields;

impl<'writer> FormatFields<'writer> for NoFields {
    fn format_fields<R: RecordFields>(&self, _writer: Writer<'writer>, _fields: R) -> fmt::Result {
        Ok(())
    }
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        write_now(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(metadata.level().as_str())?;
        writer.write_char('"')?;
        let mut fields = Fields {
            writer: writer.by_ref(),
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        writer.write_str(",\"target\":")?;
        write_string(&mut writer, metadata.target())?;
        writer.write_str("}\n")
    }
}

struct Fields<'a> {
    writer: Writer<'a>,
    result: fmt::Result,
}

impl Fields<'_> {
    fn record(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.try_record(field, value);
        }
    }

    fn try_record(
        &mut self,
        field: &Field,
        value: impl FnOnce(&mut Writer<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let name = field.name();
        self.writer.write_char(',')?;
        write_string(&mut self.writer, name.strip_prefix("r#").unwrap_or(name))?;
        self.writer.write_char(':')?;
        value(&mut self.writer)
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, |writer| {
            if value.is_finite() {
                write!(writer, "{value}")
            } else {
                writer.write_str("null")
            }
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, |writer| write_string(writer, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record(field, |writer| write_text(writer, format_args!("{value}")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, |writer| {
            write_text(writer, format_args!("{value:?}"))
        });
    }
}

fn write_string(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    writer.write_char('"')?;
    Escaping(writer).write_str(text)?;
    writer.write_char('"')
}

fn write_text(writer: &mut Writer<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writer.write_char('"')?;
    Escaping(writer).write_fmt(text)?;
    writer.write_char('"')
}

/// Escapes characters that a JSON string must not contain (RFC 8259 §7).
struct Escaping<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        while let Some(at) = text.bytes().position(special) {
            // Special characters are one byte long, so both ends are character boundaries.
            let (plain, rest) = text.split_at(at);
            self.0.write_str(plain)?;
            let (escaped, rest) = rest.split_at(1);
            match escaped {
                "\"" => self.0.write_str("\\\"")?,
                "\\" => self.0.write_str("\\\\")?,
                "\n" => self.0.write_str("\\n")?,
                other => {
                    for byte in other.bytes() {
                        write!(self.0, "\\u{byte:04x}")?;
                    }
                }
            }
            text = rest;
        }
        self.0.write_str(text)
    }
}

/// Writes the time in RFC 3339 format with microseconds, in UTC.
#[allow(
    clippy::disallowed_methods,
    reason = "a log line has the real time, also if the injected clock differs"
)]
fn write_now(writer: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        /// The cached text of the current second.
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    SECOND.with_borrow_mut(|(of, text)| {
        if *of != second {
            *of = second;
            *text = Timestamp::from_second(second)
                .unwrap_or(Timestamp::UNIX_EPOCH)
                .strftime("%Y-%m-%dT%H:%M:%S")
                .to_string();
        }
        write!(writer, "{text}.{:06}Z", since.subsec_micros())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> Vec<serde_json::Value> {
        let output = Output::default();
        let writer = output.clone();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(NoFields)
            .event_format(Json)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let output = output.0.lock().unwrap();
        String::from_utf8_lossy(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_kind_of_value_is_json() {
        let error = std::io::Error::other("broken \"pipe\"");
        let lines = logged(|| {
            tracing::warn!(
                text = "a\"b\\c\nd\u{1}\u{e9}",
                number = -5,
                size = 7_u64,
                ratio = 0.5,
                nothing = f64::NAN,
                flag = true,
                missing = None::<&str>,
                shown = %"<\">",
                debugged = ?"x\ty",
                error = &error as &dyn Error,
                r#type = "t",
                "it \"said\""
            );
        });
        let line = &lines[0];
        assert_eq!(line["text"], "a\"b\\c\nd\u{1}\u{e9}");
        assert_eq!(line["number"], -5);
        assert_eq!(line["size"], 7);
        assert_eq!(line["ratio"], 0.5);
        assert!(line["nothing"].is_null());
        assert_eq!(line["flag"], true);
        assert!(line.get("missing").is_none());
        assert_eq!(line["shown"], "<\">");
        assert_eq!(line["debugged"], "\"x\\ty\"");
        assert_eq!(line["error"], "broken \"pipe\"");
        assert_eq!(line["type"], "t");
        assert_eq!(line["message"], "it \"said\"");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["target"], module_path!());
    }

    #[test]
    fn the_time_is_now() {
        let before = Timestamp::now();
        let lines = logged(|| tracing::info!("now"));
        let text = lines[0]["timestamp"].as_str().unwrap();
        assert_eq!(text.len(), "2026-01-02T03:04:05.000006Z".len());
        let logged: Timestamp = text.parse().unwrap();
        let since = logged.duration_since(before).as_millis();
        assert!((-1..60_000).contains(&since), "{text}");
    }

    #[test]
    fn a_line_stays_a_line_whatever_is_in_it() {
        let lines = logged(|| {
            tracing::info!(path = "/a\r\nb", "one\ntwo");
            tracing::info!("three");
        });
        assert_eq!(lines.len(), 2);
    }
}
