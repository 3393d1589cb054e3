//! A scanner that finds request heads in a stream (RFC 9112 §2, §6, §7.1). It does not judge requests that the parser
//! accepts. It only keeps in step with the parser, and reports when it cannot.

use std::mem;

use memchr::memchr;

use super::chunk;

/// The number of bytes kept of a line that arrives in pieces. The relevant fields need fewer. A longer chunk size line
/// is malformed.
const LONGEST_KEPT: usize = 256;

/// A finding about the request with that number. Numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// The request has `Content-Length` and `Transfer-Encoding`.
    BothFramings(u64),
    /// A chunk size line of its body is malformed.
    MalformedChunk(u64),
    /// From this request on, the boundaries of requests are unknown.
    Lost(u64),
}

/// The state of the scanner.
#[derive(Default)]
pub(super) struct Scanner {
    place: ScanState,
    /// The start of an incomplete line.
    line: Vec<u8>,
    /// True if the line is longer than the kept part.
    is_cut: bool,
    head: Head,
    /// Number of complete heads.
    heads: u64,
    /// True if the parser may read something differently: a length that is not a plain number, or bytes between two
    /// requests.
    is_unsure: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    #[default]
    RequestLine,
    Field,
    /// Remaining bytes of a body.
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// Another protocol, or out of step. The rest is ignored.
    Off,
}

/// The framing fields of a head.
#[derive(Default)]
struct Head {
    length: Option<u64>,
    has_length: bool,
    has_coding: bool,
}

impl Scanner {
    /// Scans the next bytes. Returns at most one finding; after it the connection must not be used further.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<Finding> {
        while !bytes.is_empty() {
            match self.place {
                ScanState::Off => return None,
                ScanState::Body(left) | ScanState::Chunk(left) => bytes = self.skip(left, bytes),
                ScanState::RequestLine
                | ScanState::Field
                | ScanState::ChunkSize
                | ScanState::ChunkEnd
                | ScanState::Trailer => {
                    let Some(end) = memchr(b'\n', bytes) else {
                        self.keep(bytes);
                        return None;
                    };
                    let (line, rest) = bytes.split_at(end);
                    bytes = rest.get(1..).unwrap_or_default();
                    let finding = self.take_line(line);
                    if finding.is_some() {
                        self.place = ScanState::Off;
                        return finding;
                    }
                }
            }
        }
        None
    }

    /// Returns the number of complete heads.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Returns true if only complete and unambiguous requests were received.
    pub(super) fn is_between_requests(&self) -> bool {
        self.place == ScanState::RequestLine && self.line.is_empty() && !self.is_unsure
    }

    fn skip<'a>(&mut self, left: u64, bytes: &'a [u8]) -> &'a [u8] {
        let here = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - here as u64;
        self.place = match (self.place, left) {
            (ScanState::Chunk(_), 0) => ScanState::ChunkEnd,
            (ScanState::Chunk(_), left) => ScanState::Chunk(left),
            (_, 0) => ScanState::RequestLine,
            (_, left) => ScanState::Body(left),
        };
        bytes.get(here..).unwrap_or_default()
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = LONGEST_KEPT.saturating_sub(self.line.len());
        self.is_cut |= piece.len() > room;
        self.line
            .extend_from_slice(piece.get(..room).unwrap_or(piece));
    }

    fn take_line(&mut self, end: &[u8]) -> Option<Finding> {
        if self.line.is_empty() {
            let kept = end.get(..LONGEST_KEPT).unwrap_or(end);
            return self.line(kept, end.len() > LONGEST_KEPT);
        }
        self.keep(end);
        let line = mem::take(&mut self.line);
        let is_cut = mem::take(&mut self.is_cut);
        self.line(&line, is_cut)
    }

    fn line(&mut self, line: &[u8], is_cut: bool) -> Option<Finding> {
        if self.place == ScanState::ChunkSize {
            return self.chunk_size(line, is_cut);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.place {
            // Empty lines before a request are skipped (RFC 9112 §2.2).
            ScanState::RequestLine if line.is_empty() => {
                self.is_unsure = true;
                None
            }
            // The preface of HTTP/2 (RFC 9113 §3.4).
            ScanState::RequestLine if line.starts_with(b"PRI * HTTP/2") => {
                self.place = ScanState::Off;
                None
            }
            ScanState::RequestLine => {
                self.place = ScanState::Field;
                None
            }
            ScanState::Field if line.is_empty() => self.end_head(),
            ScanState::Field => self.field(line, is_cut),
            ScanState::ChunkEnd if line.is_empty() => self.go_to(ScanState::ChunkSize),
            ScanState::ChunkEnd => Some(self.lost()),
            ScanState::Trailer if line.is_empty() => self.go_to(ScanState::RequestLine),
            ScanState::Trailer
            | ScanState::Body(_)
            | ScanState::ChunkSize
            | ScanState::Chunk(_)
            | ScanState::Off => None,
        }
    }

    fn field(&mut self, line: &[u8], is_cut: bool) -> Option<Finding> {
        let colon = memchr(b':', line)?;
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_unsure |= self.head.has_coding || !is_chunked(value);
            self.head.has_coding = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.is_unsure |= self.head.has_length;
            self.head.has_length = true;
            // If it is not a number, the parser rejects it and the connection ends.
            self.head.length = value.get(1..).and_then(decimal);
            self.is_unsure |= self.head.length.is_none();
            if is_cut {
                return Some(self.lost());
            }
        }
        None
    }

    fn end_head(&mut self) -> Option<Finding> {
        self.heads += 1;
        let head = mem::take(&mut self.head);
        if head.has_coding && head.has_length {
            return Some(Finding::BothFramings(self.heads));
        }
        self.go_to(match (head.has_coding, head.length) {
            (true, _) => ScanState::ChunkSize,
            (false, Some(length @ 1..)) => ScanState::Body(length),
            (false, _) => ScanState::RequestLine,
        })
    }

    fn chunk_size(&mut self, line: &[u8], is_cut: bool) -> Option<Finding> {
        match chunk::size(line, LONGEST_KEPT).filter(|_| !is_cut) {
            None => Some(Finding::MalformedChunk(self.heads)),
            Some(0) => self.go_to(ScanState::Trailer),
            Some(size) => self.go_to(ScanState::Chunk(size)),
        }
    }

    fn go_to(&mut self, place: ScanState) -> Option<Finding> {
        self.place = place;
        None
    }

    /// Returns the finding for the next head.
    fn lost(&self) -> Finding {
        Finding::Lost(self.heads + 1)
    }
}

fn is_chunked(value: &[u8]) -> bool {
    value
        .get(1..)
        .is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Checks that the result does not depend on how the bytes are split.
    fn scan(stream: &str) -> Option<Finding> {
        let whole = Scanner::default().feed(stream.as_bytes());
        for size in [1, 2, 3, 7, 64] {
            let mut scanner = Scanner::default();
            let found = stream
                .as_bytes()
                .chunks(size)
                .find_map(|bytes| scanner.feed(bytes));
            assert_eq!(found, whole, "{size}");
        }
        whole
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=\"y\"\r\n\r\n\r\n\r\r\nA\r\n0123456789\r\n0\r\nContent-Length: 5\r\n\r\n";
    const SIZED: &str = "POST / HTTP/1.1\r\ncontent-length: 48\r\n\r\nX\r\nContent-Length: 1\r\nTransfer-Encoding: chunked";

    #[rstest]
    #[case("")]
    #[case(GET)]
    #[case(CHUNKED)]
    #[case(SIZED)]
    #[case("GET / HTTP/1.1\nContent-Length: 0\n\n")]
    #[case("\r\n\r\nGET / HTTP/1.1\r\nX: Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")]
    fn c17_requests_of_one_framing_are_left_alone(#[case] stream: &str) {
        assert_eq!(scan(stream), None);
    }

    #[rstest]
    #[case("Content-Length: 4\r\nTransfer-Encoding: chunked")]
    #[case("Transfer-Encoding: chunked\r\nContent-Length: 4")]
    #[case("TRANSFER-ENCODING:chunked\r\nx: y\r\ncontent-length:4")]
    #[case("Transfer-Encoding: chunked\nContent-Length: x")]
    fn c17_both_framings_are_found_in_any_request_of_a_connection(#[case] fields: &str) {
        let both = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        assert_eq!(scan(&both), Some(Finding::BothFramings(1)));
        let long = format!(
            "GET /{} HTTP/1.1\r\nCookie: {}\r\n\r\n",
            "a".repeat(999),
            "b".repeat(999)
        );
        for before in [GET, CHUNKED, &long] {
            let stream = format!("{before}{before}{both}");
            assert_eq!(scan(&stream), Some(Finding::BothFramings(3)), "{before}");
        }
        let sized = format!("{SIZED}\r\n{both}");
        assert_eq!(SIZED.rsplit("\r\n\r\n").next().unwrap().len(), 48);
        assert_eq!(scan(&sized), Some(Finding::BothFramings(2)));
    }

    #[test]
    fn c17_a_length_in_a_long_line_is_found_however_it_arrives() {
        let stream = format!(
            "GET / HTTP/1.1\r\nContent-Length:{}5\r\n\r\n",
            " ".repeat(300)
        );
        assert_eq!(scan(&stream), Some(Finding::Lost(1)));
    }

    #[rstest]
    #[case("x\r\n")]
    #[case("-1\r\n")]
    #[case("\r\n")]
    #[case("5;\r\n01234\r\n")]
    #[case("5 \r\n01234\r\n")]
    #[case("5;a\u{1}\r\n01234\r\n")]
    #[case("5\n01234\r\n")]
    #[case("1\r\na\r\n0;\r\n\r\n")]
    #[case("fffffffffffffffff\r\n")]
    fn malformed_chunks_are_found_in_any_request_of_a_connection_g16(#[case] body: &str) {
        let stream =
            format!("{GET}POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}{GET}");
        assert_eq!(scan(&stream), Some(Finding::MalformedChunk(2)));
    }

    #[test]
    fn a_long_chunk_line_is_malformed_however_it_comes_g16() {
        let extension = "a".repeat(LONGEST_KEPT);
        let stream =
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\na\r\n");
        assert_eq!(scan(&stream), Some(Finding::MalformedChunk(1)));
    }

    #[rstest]
    #[case("1\r\nab\r\n")]
    fn c17_framing_that_cannot_be_followed_is_reported(#[case] body: &str) {
        let stream =
            format!("{GET}POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}{GET}");
        assert_eq!(scan(&stream), Some(Finding::Lost(3)));
    }

    #[rstest]
    #[case("", true)]
    #[case(GET, true)]
    #[case(CHUNKED, true)]
    #[case("GET / HTTP/1.1\r\n", false)]
    #[case("G", false)]
    #[case(SIZED, true)]
    #[case("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na", false)]
    #[case("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", false)]
    // Cases that another parser may read differently.
    #[case("GET / HTTP/1.1\r\n\r\n\r\n", false)]
    #[case("\r\nGET / HTTP/1.1\r\n\r\n", false)]
    #[case("POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", false)]
    #[case(
        "POST / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        false
    )]
    #[case(
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        false
    )]
    #[case("PRI * HTTP/2.0\r\n\r\n", false)]
    fn c17_the_end_of_a_request_is_detected(#[case] stream: &str, #[case] between: bool) {
        let mut scanner = Scanner::default();
        scanner.feed(stream.as_bytes());
        assert_eq!(scanner.is_between_requests(), between);
    }

    #[test]
    fn another_protocol_is_not_looked_at() {
        assert_eq!(scan("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nx"), None);
    }
}
