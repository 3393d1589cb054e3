//! Type-checks and compiles an expression in one pass: resolves names to slots and calls to functions.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ast::{Comprehension, ComprehensionKind, Entry, Expr, ExprKind, Literal, Mistake},
    context::Context,
    node::{Loop, Node},
    parser,
    program::Program,
    signature::Signature,
    types::{Inference, Type},
    value::Value,
};

mod call;
mod operator;
mod select;
mod suggest;

/// The names that an expression can refer to.
#[derive(Clone, Copy, Default)]
pub struct Environment<'e> {
    /// Type of `ctx`.
    pub context: Option<&'static Context>,
    /// True if `attrs` is declared: a map of text to any value.
    pub attributes: bool,
    /// Names and types of variables.
    pub variables: &'e [(String, Type)],
    /// Functions that are declared without an implementation.
    pub functions: &'e [(String, Vec<Signature>)],
    /// Prefix that names are looked up with first.
    pub container: &'e str,
    /// True if type errors are left to the evaluation.
    pub unchecked: bool,
}

/// Parses, checks and compiles `source`.
///
/// # Errors
/// Returns the syntax error, or every mistake that the check finds.
pub fn compile(environment: Environment<'_>, source: &str) -> Result<Program, Vec<Mistake>> {
    let expr = parser::parse(source).map_err(|mistake| vec![mistake])?;
    let mut checker = Checker {
        environment,
        inference: Inference::default(),
        locals: Vec::new(),
        mistakes: Vec::new(),
    };
    let (root, ty) = checker.check(&expr);
    if matches!(root, Node::Context) {
        checker.context_alone(expr.offset);
    }
    let fatal = |mistake: &Mistake| !environment.unchecked || mistake.unsupported;
    if checker.mistakes.iter().any(fatal) {
        return Err(checker.mistakes);
    }
    let ty = checker.inference.resolve(&ty);
    Ok(Program { root, ty })
}

/// A compiled node and its type.
type Checked = (Node, Type);

struct Checker<'e> {
    environment: Environment<'e>,
    inference: Inference,
    /// Names bound by enclosing macros, outermost first.
    locals: Vec<(String, Type)>,
    mistakes: Vec<Mistake>,
}

impl Checker<'_> {
    fn check(&mut self, expr: &Expr) -> Checked {
        match &expr.kind {
            ExprKind::Literal(literal) => constant(literal),
            ExprKind::Ident(name) => self.ident(expr.offset, name),
            ExprKind::Select {
                operand,
                field,
                optional,
            } => self.select(expr, operand, field, *optional),
            ExprKind::Has {
                operand,
                field,
                optional,
            } => self.has(expr.offset, operand, field, *optional),
            ExprKind::Index {
                operand,
                index,
                optional,
            } => self.index(expr.offset, operand, index, *optional),
            ExprKind::Call {
                target,
                function,
                arguments,
            } => self.call(expr, target.as_deref(), function, arguments),
            ExprKind::Not(operand) => self.not(expr.offset, operand),
            ExprKind::Negate(operand) => self.negate(expr.offset, operand),
            ExprKind::Binary(operator, left, right) => {
                self.binary(expr.offset, *operator, left, right)
            }
            ExprKind::And(operands) => (Node::And(self.bools("&&", operands)), Type::Bool),
            ExprKind::Or(operands) => (Node::Or(self.bools("||", operands)), Type::Bool),
            ExprKind::Conditional(condition, yes, no) => self.conditional(condition, yes, no),
            ExprKind::List(elements) => {
                let mut element_type = None;
                let mut nodes = Vec::with_capacity(elements.len());
                for element in elements {
                    let (node, ty) = self.value(&element.value);
                    let ty = self.unwrap_optional(&element.value, ty, element.optional);
                    element_type = Some(self.join(element_type, ty));
                    nodes.push((node, element.optional));
                }
                let element_type = element_type.unwrap_or_else(|| self.inference.fresh());
                (Node::List(nodes.into()), Type::list(element_type))
            }
            ExprKind::Map(entries) => self.map(entries),
            ExprKind::Message(name) => {
                self.mistakes.push(Mistake::unsupported(
                    expr.offset,
                    format!("messages cannot be constructed: {name}{{…}}"),
                ));
                (Node::Unknown(Box::from(name.as_str())), Type::Dyn)
            }
            ExprKind::Comprehension(comprehension) => {
                self.comprehension(expr.offset, comprehension)
            }
            ExprKind::Bind { bindings, body } => self.bind(bindings, body),
            ExprKind::OptionalMap {
                target,
                name,
                body,
                flat,
            } => self.optional_map(expr.offset, target, (name, body), *flat),
        }
    }

    /// Checks like [`Self::check`] and rejects `ctx` itself, which is not a value.
    fn value(&mut self, expr: &Expr) -> Checked {
        let checked = self.check(expr);
        if matches!(checked.0, Node::Context) {
            self.context_alone(expr.offset);
        }
        checked
    }

    fn context_alone(&mut self, offset: u32) {
        self.mistakes.push(
            Mistake::new(offset, "`ctx` has no value of its own")
                .suggest("select a field, such as ctx.user"),
        );
    }

    fn mistake(&mut self, mistake: Mistake) -> Checked {
        self.mistakes.push(mistake);
        (Node::Unknown(Box::from("")), Type::Dyn)
    }

    fn ident(&mut self, offset: u32, name: &str) -> Checked {
        let local = self.locals.iter().rposition(|(local, _)| local == name);
        if let Some((index, (_, ty))) =
            local.and_then(|index| Some((index, self.locals.get(index)?)))
        {
            return (Node::Local(index), ty.clone());
        }
        if let Some(found) = self.declared(name) {
            return found;
        }
        let mut known: Vec<&str> = self.locals.iter().map(|(name, _)| name.as_str()).collect();
        known.extend(
            self.environment
                .variables
                .iter()
                .map(|(name, _)| name.as_str()),
        );
        known.extend(self.environment.context.map(|_| "ctx"));
        known.extend(self.environment.attributes.then_some("attrs"));
        let suggestion = suggest::suggestion(name, known.into_iter());
        let bare = self
            .environment
            .context
            .is_some_and(|context| context.root().field(name).is_some());
        let mut mistake = Mistake::new(offset, format!("unknown name `{name}`"));
        if bare {
            mistake = mistake.suggest(format!("write ctx.{name}"));
        } else if !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            mistake = mistake.suggest(format!("write \"{name}\" for the name of an enum value"));
        } else {
            mistake.suggestion = suggestion;
        }
        self.mistakes.push(mistake);
        (Node::Unknown(Box::from(name)), Type::Dyn)
    }

    /// Resolves a name that no macro has bound.
    fn declared(&self, name: &str) -> Option<Checked> {
        for name in self.candidates(name) {
            let variables = self.environment.variables;
            let variable = variables.iter().position(|(variable, _)| *variable == name);
            if let Some((index, (_, ty))) =
                variable.and_then(|index| Some((index, variables.get(index)?)))
            {
                return Some((Node::Variable(index), ty.clone()));
            }
            if name == "ctx"
                && let Some(context) = self.environment.context
            {
                return Some((Node::Context, Type::Message(context.root())));
            }
            if name == "attrs" && self.environment.attributes {
                return Some((Node::Attributes, Type::map(Type::Text, Type::Dyn)));
            }
            if let Some(name) = type_name(&name) {
                return Some((Node::Constant(Value::Type(Arc::from(name))), Type::Meta));
            }
        }
        None
    }

    /// Returns the names to look up for `name`: in the container, in its parents, and unqualified.
    fn candidates(&self, name: &str) -> Vec<String> {
        if let Some(absolute) = name.strip_prefix('.') {
            return vec![absolute.to_owned()];
        }
        let mut candidates = Vec::new();
        let mut container = self.environment.container;
        while !container.is_empty() {
            candidates.push(format!("{container}.{name}"));
            container = container.rsplit_once('.').map_or("", |(parent, _)| parent);
        }
        candidates.push(name.to_owned());
        candidates
    }

    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        match previous {
            Some(previous) => self.inference.join(&previous, &current),
            None => current,
        }
    }

    fn unwrap_optional(&mut self, expr: &Expr, ty: Type, optional: bool) -> Type {
        if !optional {
            return ty;
        }
        let inner = self.inference.fresh();
        if !self.inference.assign(&Type::optional(inner.clone()), &ty) {
            self.mistakes.push(Mistake::new(
                expr.offset,
                format!(
                    "an optional value is expected here, not {}",
                    self.inference.resolve(&ty)
                ),
            ));
        }
        self.inference.shallow(&inner)
    }

    fn bools(&mut self, symbol: &str, operands: &[Expr]) -> Box<[Node]> {
        operands
            .iter()
            .map(|operand| self.bool(symbol, operand))
            .collect()
    }

    fn bool(&mut self, place: &str, operand: &Expr) -> Node {
        let (node, ty) = self.value(operand);
        if !self.inference.assign(&Type::Bool, &ty) {
            let ty = self.inference.resolve(&ty);
            self.mistakes.push(Mistake::new(
                operand.offset,
                format!("`{place}` expects bool, not {ty}"),
            ));
        }
        node
    }

    fn conditional(&mut self, condition: &Expr, yes: &Expr, no: &Expr) -> Checked {
        let condition = self.bool("? :", condition);
        let (yes_node, yes_type) = self.value(yes);
        let (no_node, no_type) = self.value(no);
        let result = self.inference.fresh();
        let fits = self.inference.assign_all(
            &[result.clone(), result.clone()],
            &[yes_type.clone(), no_type.clone()],
        );
        if !fits {
            let (yes_type, no_type) = (
                self.inference.resolve(&yes_type),
                self.inference.resolve(&no_type),
            );
            self.mistakes.push(Mistake::new(
                no.offset,
                format!(
                    "both results of `? :` must have the same type, not {yes_type} and {no_type}"
                ),
            ));
        }
        (
            Node::Conditional(Box::new([condition, yes_node, no_node])),
            result,
        )
    }

    fn map(&mut self, entries: &[Entry]) -> Checked {
        let (mut key_type, mut value_type) = (None, None);
        let mut nodes = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, ty) = self.value(&entry.key);
            if matches!(
                ty,
                Type::Double | Type::List(_) | Type::Map(..) | Type::Bytes | Type::Null
            ) {
                self.mistakes.push(Mistake::new(
                    entry.key.offset,
                    format!("a key must be a string, int, uint or bool, not {ty}"),
                ));
            }
            key_type = Some(self.join(key_type, ty));
            let (value, ty) = self.value(&entry.value);
            let ty = self.unwrap_optional(&entry.value, ty, entry.optional);
            value_type = Some(self.join(value_type, ty));
            nodes.push((key, value, entry.optional));
        }
        let key_type = key_type.unwrap_or_else(|| self.inference.fresh());
        let value_type = value_type.unwrap_or_else(|| self.inference.fresh());
        (Node::Map(nodes.into()), Type::map(key_type, value_type))
    }

    fn bind(&mut self, bindings: &[(String, Expr)], body: &Expr) -> Checked {
        let outer = self.locals.len();
        let mut values = Vec::with_capacity(bindings.len());
        for (name, value) in bindings {
            let (node, ty) = self.value(value);
            values.push(node);
            self.locals.push((name.clone(), ty));
        }
        let (body, ty) = self.value(body);
        self.locals.truncate(outer);
        (
            Node::Bind {
                values: values.into(),
                body: Box::new(body),
            },
            ty,
        )
    }

    fn optional_map(
        &mut self,
        offset: u32,
        target: &Expr,
        (name, body): (&str, &Expr),
        flat: bool,
    ) -> Checked {
        let (target_node, ty) = self.value(target);
        let inner = self.unwrap_optional(target, ty, true);
        self.locals.push((name.to_owned(), inner));
        let (body_node, body_type) = self.value(body);
        self.locals.pop();
        let ty = if flat {
            let inner = self.inference.fresh();
            let wanted = Type::optional(inner);
            if !self.inference.assign(&wanted, &body_type) {
                let found = self.inference.resolve(&body_type);
                self.mistakes.push(Mistake::new(
                    offset,
                    format!("optFlatMap() takes an optional result, not {found}"),
                ));
            }
            wanted
        } else {
            Type::optional(body_type)
        };
        let node = Node::OptionalMap {
            target: Box::new(target_node),
            body: Box::new(body_node),
            flat,
        };
        (node, ty)
    }

    fn comprehension(&mut self, offset: u32, comprehension: &Comprehension) -> Checked {
        let Comprehension {
            kind,
            range,
            first,
            second,
            filter,
            body,
        } = comprehension;
        let (range_node, range_type) = self.value(range);
        let two = second.is_some();
        let (first_type, second_type) = match self.inference.shallow(&range_type) {
            Type::List(element) if two => (Type::Int, (*element).clone()),
            Type::List(element) => ((*element).clone(), Type::Dyn),
            Type::Map(key, value) => ((*key).clone(), (*value).clone()),
            other => {
                if !matches!(other, Type::Dyn | Type::Variable(_)) {
                    self.mistakes.push(Mistake::new(
                        range.offset,
                        format!("a loop needs a list or a map, not {other}"),
                    ));
                }
                self.inference.assign(&Type::Dyn, &range_type);
                (Type::Dyn, Type::Dyn)
            }
        };
        let outer = self.locals.len();
        self.locals.push((first.clone(), first_type.clone()));
        if let Some(second) = second {
            self.locals.push((second.clone(), second_type));
        }
        let filter = filter.as_ref().map(|filter| self.bool("a filter", filter));
        let (body_node, ty) = match kind {
            ComprehensionKind::Quantifier(_) => {
                (self.bool("the condition of a loop", body), Type::Bool)
            }
            ComprehensionKind::Filter => {
                let element = first_type;
                (self.bool("a filter", body), Type::list(element))
            }
            ComprehensionKind::List => {
                let (node, ty) = self.value(body);
                (node, Type::list(ty))
            }
            ComprehensionKind::Map => {
                let (node, ty) = self.value(body);
                (node, Type::map(first_type, ty))
            }
            ComprehensionKind::MapEntries => {
                let (node, ty) = self.value(body);
                let key = self.inference.fresh();
                let value = self.inference.fresh();
                if !self.inference.assign(&Type::map(key, value), &ty) {
                    self.mistakes.push(Mistake::new(
                        offset,
                        "transformMapEntry() takes a map of one entry",
                    ));
                }
                (node, ty)
            }
        };
        self.locals.truncate(outer);
        let node = Node::Comprehension(Box::new(Loop {
            kind: *kind,
            range: range_node,
            two,
            filter,
            body: body_node,
        }));
        (node, ty)
    }
}

fn constant(literal: &Literal) -> Checked {
    match literal {
        Literal::Null => (Node::Constant(Value::Null), Type::Null),
        Literal::Bool(value) => (Node::Constant(Value::Bool(*value)), Type::Bool),
        Literal::Int(value) => (Node::Constant(Value::Int(*value)), Type::Int),
        Literal::Uint(value) => (Node::Constant(Value::Uint(*value)), Type::Uint),
        Literal::Double(value) => (Node::Constant(Value::Double(*value)), Type::Double),
        Literal::Text(text) => (Node::Text(Box::from(&**text)), Type::Text),
        Literal::Bytes(bytes) => (Node::Constant(Value::Bytes(bytes.clone())), Type::Bytes),
    }
}

/// Returns the canonical name if `name` denotes a type.
fn type_name(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 15] = [
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "optional_type",
        "net.IP",
        "net.CIDR",
        "google.protobuf.Timestamp",
        "google.protobuf.Duration",
    ];
    NAMES.into_iter().find(|known| *known == name)
}

/// The type variables of one call, by parameter name.
type Parameters = BTreeMap<Arc<str>, Type>;
