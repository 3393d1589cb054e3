//! Expressions over a `ctx` that is defined here, without descriptors.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed assertion fails the test"
)]

use std::sync::LazyLock;

use cel::{
    Context, Document, EXPRESSION_BUDGET, Environment, Error, Evaluation, Fields, Host, HostField,
    Inputs, Member, Part, Source, Value, compile,
    schema::{Field, Kind, MessageRef, MessageType, Shape},
};

const PATH: HostField = HostField(0);
const HEADERS: HostField = HostField(1);
const SIZE: HostField = HostField(2);
const IS_SET: HostField = HostField(3);

static REQUEST: LazyLock<MessageRef> = LazyLock::new(|| {
    let fields = vec![
        field("path", 1, Shape::One(Kind::Text)),
        field("headers", 2, Shape::Map(Kind::Text, Kind::Text)),
        field("size", 3, Shape::One(Kind::Int)),
        field("body", 4, Shape::One(Kind::Bytes)),
    ];
    MessageRef::new(MessageType::synthetic("Request", fields))
});

fn field(name: &str, number: u32, shape: Shape) -> Field {
    Field {
        name: name.to_owned(),
        number,
        shape,
    }
}

fn request() -> &'static Part {
    static PART: LazyLock<Part> = LazyLock::new(|| Part {
        message: REQUEST.get(),
        member: |name| match name {
            "path" => Some(Member::Text(PATH)),
            "headers" => Some(Member::Fields(HEADERS)),
            "size" => Some(Member::Value(SIZE)),
            _ => None,
        },
        presence: Some(IS_SET),
    });
    &PART
}

/// A `ctx` with a request and a name. The name is stored in a document.
fn context() -> &'static Context {
    static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
        let fields = vec![
            field("request", 1, Shape::Explicit(Kind::Message(*REQUEST))),
            field("name", 2, Shape::One(Kind::Text)),
        ];
        let root = MessageRef::new(MessageType::synthetic("ctx", fields));
        Context::new(root.get(), 1, |field| match field.name.as_str() {
            "request" => Source::Part(request()),
            _ => Source::Document(0),
        })
    });
    &CONTEXT
}

fn environment() -> Environment<'static> {
    Environment {
        context: Some(context()),
        ..Environment::default()
    }
}

/// A request, by its path.
struct Request(&'static str);

impl Host for Request {
    fn text(&self, field: HostField) -> &str {
        assert_eq!(field, PATH);
        self.0
    }

    fn fields(&self, field: HostField) -> &dyn Fields {
        assert_eq!(field, HEADERS);
        self
    }

    fn value(&self, field: HostField) -> Value<'_> {
        match field {
            SIZE => Value::Int(3),
            IS_SET => Value::Bool(true),
            other => panic!("{other:?} is not a value"),
        }
    }
}

impl Fields for Request {
    fn get(&self, name: &str) -> Option<&str> {
        (name == "x").then_some("1")
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        visit("x", "1");
    }
}

fn holds(source: &str, host: Option<&dyn Host>) -> Result<bool, Error> {
    let program = compile(environment(), source).unwrap();
    // Field 2, a text of five bytes.
    let document = Document::new(context().layout(0), b"\x12\x05alice");
    let mut evaluation = Evaluation::new(Inputs {
        documents: [Some(&document), None, None],
        host,
        ..Inputs::default()
    });
    evaluation.begin(EXPRESSION_BUDGET);
    program.test(&mut evaluation)
}

#[test]
fn expressions_read_documents_and_the_host() {
    let request = Request("/admin");
    for source in [
        "ctx.name == 'alice' && ctx.name.size() == 5",
        "ctx.request.path == '/admin' && ctx.request.path.startsWith('/a')",
        "ctx.request.headers['x'] == '1' && ctx.request.headers.y == ''",
        "'x' in ctx.request.headers && !has(ctx.request.headers.y)",
        "ctx.request.headers.all(name, name == 'x')",
        "ctx.request.size > 2 && ctx.request.size + 1 == 4",
        "has(ctx.request) && has(ctx.request.size) && !has(ctx.request.body)",
        "dyn(ctx.request).path == '/admin' && has(dyn(ctx.request).path)",
        "ctx.request == ctx.request && type(ctx.request) != type(1)",
        "json.parse(json.marshal(ctx.request)) == {'path': '/admin', 'headers': {'x': '1'}, 'size': 3}",
    ] {
        assert_eq!(holds(source, Some(&request)), Ok(true), "{source}");
    }
}

#[test]
fn without_a_host_fields_have_their_default_values() {
    for source in [
        "!has(ctx.request) && !has(ctx.request.size)",
        "ctx.request.path == '' && ctx.request.size == 0",
        "ctx.request.headers['x'] == ''",
        "size(ctx.request.headers) == 0",
    ] {
        assert_eq!(holds(source, None), Ok(true), "{source}");
    }
}

#[test]
fn unknown_fields_are_mistakes() {
    for source in ["ctx.nothing == 1", "ctx.request.nothing == 1"] {
        assert!(compile(environment(), source).is_err(), "{source}");
    }
}
