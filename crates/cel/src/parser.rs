//! Parses tokens to expressions by precedence climbing.
//!
//! [`MAX_HEIGHT`] bounds every recursion here and over the result; [`MAX_NODES`] bounds the number of nodes.

use std::sync::Arc;

use super::{
    ast::{Arithmetic, Element, Entry, Expr, ExprKind, Literal, Mistake, Operator, Relation},
    lexer::{Spanned, Token, tokens},
};

mod macros;

/// Maximum height of an expression. The public conformance suite requires 12 to 32 levels.
const MAX_HEIGHT: u16 = 100;
const MAX_NODES: usize = 4_000;
/// Maximum length of the source, in characters.
pub(crate) const MAX_SOURCE: usize = 10_000;

/// Parses a whole source text.
pub(crate) fn parse(source: &str) -> Result<Expr, Mistake> {
    if source.chars().count() > MAX_SOURCE {
        return Err(Mistake::new(
            0,
            format!("the expression is longer than {MAX_SOURCE} characters"),
        ));
    }
    if source.trim().is_empty() {
        return Err(Mistake::new(0, "the expression is empty"));
    }
    let mut parser = Parser {
        tokens: tokens(source)?,
        next: 0,
        nodes: 0,
        depth: 0,
    };
    let expr = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

pub(super) struct Parser {
    tokens: Vec<Spanned>,
    next: usize,
    nodes: usize,
    depth: u16,
}

impl Parser {
    /// Creates a node above children of height `children`. Fails if a limit is exceeded.
    pub(super) fn finish(
        &mut self,
        offset: u32,
        children: u16,
        kind: ExprKind,
    ) -> Result<Expr, Mistake> {
        self.nodes += 1;
        let height = children + 1;
        if height > MAX_HEIGHT {
            return Err(too_deep(offset));
        }
        if self.nodes > MAX_NODES {
            return Err(Mistake::new(
                offset,
                format!("the expression has more than {MAX_NODES} parts"),
            )
            .suggest("split it into several rules or conditions"));
        }
        Ok(Expr {
            offset,
            height,
            kind,
        })
    }

    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |spanned| &spanned.token)
    }

    fn offset(&self) -> u32 {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get(self.next.min(last))
            .map_or(0, |spanned| spanned.offset)
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(next) if *next == symbol);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Mistake> {
        if self.accept(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`")))
    }

    fn unexpected(&self, wanted: &str) -> Mistake {
        let found = match self.peek() {
            Token::End => "the end".to_owned(),
            Token::Name(name) | Token::Quoted(name) => format!("`{name}`"),
            Token::Reserved(word) => format!("the reserved word `{word}`"),
            Token::Integer(_) => "a number".to_owned(),
            Token::Literal(_) => "a literal".to_owned(),
            Token::Symbol(symbol) => format!("`{symbol}`"),
        };
        Mistake::new(self.offset(), format!("expected {wanted}, found {found}"))
    }

    fn expression(&mut self) -> Result<Expr, Mistake> {
        let offset = self.offset();
        self.depth += 1;
        if self.depth > MAX_HEIGHT {
            return Err(too_deep(offset));
        }
        let condition = self.any()?;
        let result = if self.accept("?") {
            let yes = self.any()?;
            self.expect(":")?;
            let no = self.expression()?;
            let height = condition.height.max(yes.height).max(no.height);
            let kind = ExprKind::Conditional(Box::new(condition), Box::new(yes), Box::new(no));
            self.finish(offset, height, kind)
        } else {
            Ok(condition)
        };
        self.depth -= 1;
        result
    }

    fn any(&mut self) -> Result<Expr, Mistake> {
        let offset = self.offset();
        let mut operands = vec![self.every()?];
        while self.accept("||") {
            operands.push(self.every()?);
        }
        self.chain(offset, operands, ExprKind::Or)
    }

    fn every(&mut self) -> Result<Expr, Mistake> {
        let offset = self.offset();
        let mut operands = vec![self.binary(0)?];
        while self.accept("&&") {
            operands.push(self.binary(0)?);
        }
        self.chain(offset, operands, ExprKind::And)
    }

    fn chain(
        &mut self,
        offset: u32,
        mut operands: Vec<Expr>,
        kind: fn(Vec<Expr>) -> ExprKind,
    ) -> Result<Expr, Mistake> {
        if operands.len() == 1
            && let Some(only) = operands.pop()
        {
            return Ok(only);
        }
        let height = operands.iter().map(|operand| operand.height).max();
        self.finish(offset, height.unwrap_or(0), kind(operands))
    }

    fn binary(&mut self, lowest: u8) -> Result<Expr, Mistake> {
        let mut left = self.unary()?;
        while let Some((operator, precedence)) = binary_operator(self.peek()) {
            if precedence < lowest {
                break;
            }
            let offset = self.offset();
            self.next += 1;
            let right = self.binary(precedence + 1)?;
            let height = left.height.max(right.height);
            let kind = ExprKind::Binary(operator, Box::new(left), Box::new(right));
            left = self.finish(offset, height, kind)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Mistake> {
        let offset = self.offset();
        for (symbol, kind) in [
            ("!", ExprKind::Not as fn(Box<Expr>) -> ExprKind),
            ("-", ExprKind::Negate),
        ] {
            let mut count = 0_u16;
            while self.accept(symbol) {
                count += 1;
                if symbol == "-"
                    && matches!(
                        self.peek(),
                        Token::Integer(_) | Token::Literal(Literal::Double(_))
                    )
                {
                    count -= 1;
                    let literal = self.negative_literal(offset)?;
                    let mut expr = self.postfix(literal)?;
                    for _ in 0..count {
                        expr = self.finish(offset, expr.height, kind(Box::new(expr)))?;
                    }
                    return Ok(expr);
                }
                if count > MAX_HEIGHT {
                    return Err(too_deep(offset));
                }
            }
            if count > 0 {
                let primary = self.primary()?;
                let mut expr = self.postfix(primary)?;
                for _ in 0..count {
                    expr = self.finish(offset, expr.height, kind(Box::new(expr)))?;
                }
                return Ok(expr);
            }
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn negative_literal(&mut self, offset: u32) -> Result<Expr, Mistake> {
        let literal = match self.advance() {
            Token::Integer(value) => Literal::Int(
                0_i64
                    .checked_sub_unsigned(value)
                    .ok_or_else(|| Mistake::new(offset, "the integer is out of range"))?,
            ),
            Token::Literal(Literal::Double(value)) => Literal::Double(-value),
            _ => return Err(self.unexpected("a number")),
        };
        self.finish(offset, 0, ExprKind::Literal(literal))
    }

    fn primary(&mut self) -> Result<Expr, Mistake> {
        let offset = self.offset();
        let literal = match self.peek().clone() {
            Token::Literal(literal) => literal,
            Token::Integer(value) => Literal::Int(i64::try_from(value).map_err(|_| {
                Mistake::new(offset, "the integer is out of range")
                    .suggest(format!("write {value}u for an unsigned integer"))
            })?),
            Token::Reserved("true") => Literal::Bool(true),
            Token::Reserved("false") => Literal::Bool(false),
            Token::Reserved("null") => Literal::Null,
            Token::Symbol("(") => {
                self.next += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => {
                self.next += 1;
                return self.list(offset);
            }
            Token::Symbol("{") => {
                self.next += 1;
                return self.map(offset);
            }
            Token::Symbol(".") => {
                self.next += 1;
                return self.name(offset, ".");
            }
            Token::Name(_) => return self.name(offset, ""),
            _ => return Err(self.unexpected("an expression")),
        };
        self.next += 1;
        self.finish(offset, 0, ExprKind::Literal(literal))
    }

    fn name(&mut self, offset: u32, prefix: &str) -> Result<Expr, Mistake> {
        let Token::Name(name) = self.peek().clone() else {
            return Err(self.unexpected("a name"));
        };
        self.next += 1;
        let name = format!("{prefix}{name}");
        if self.accept("(") {
            let arguments = self.arguments()?;
            return macros::global(self, offset, name, arguments);
        }
        self.finish(offset, 0, ExprKind::Ident(name))
    }

    fn postfix(&mut self, mut expr: Expr) -> Result<Expr, Mistake> {
        loop {
            let offset = self.offset();
            if self.accept(".") {
                if !self.accept("?") {
                    expr = self.member(expr, offset)?;
                    continue;
                }
                let field = self.field()?;
                let height = expr.height;
                let kind = ExprKind::Select {
                    operand: Box::new(expr),
                    field,
                    optional: true,
                };
                expr = self.finish(offset, height, kind)?;
            } else if self.accept("[") {
                let optional = self.accept("?");
                expr = self.index(expr, offset, optional)?;
            } else if matches!(self.peek(), Token::Symbol("{")) {
                let Some(name) = qualified_name(&expr) else {
                    return Ok(expr);
                };
                self.next += 1;
                expr = self.message(expr.offset, name)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn field(&mut self) -> Result<String, Mistake> {
        let name = match self.peek().clone() {
            Token::Name(name) | Token::Quoted(name) => name,
            Token::Reserved(word) if !matches!(word, "true" | "false" | "null" | "in") => {
                word.to_owned()
            }
            _ => return Err(self.unexpected("a field name")),
        };
        self.next += 1;
        Ok(name)
    }

    fn member(&mut self, target: Expr, dot: u32) -> Result<Expr, Mistake> {
        let offset = if matches!(self.peek(), Token::End) {
            dot
        } else {
            self.offset()
        };
        let quoted = matches!(self.peek(), Token::Quoted(_));
        let field = self.field()?;
        if !quoted && self.accept("(") {
            let arguments = self.arguments()?;
            return macros::member(self, offset, target, field, arguments);
        }
        let height = target.height;
        let kind = ExprKind::Select {
            operand: Box::new(target),
            field,
            optional: false,
        };
        self.finish(offset, height, kind)
    }

    fn index(&mut self, operand: Expr, offset: u32, optional: bool) -> Result<Expr, Mistake> {
        let index = self.expression()?;
        self.expect("]")?;
        let height = operand.height.max(index.height);
        let kind = ExprKind::Index {
            operand: Box::new(operand),
            index: Box::new(index),
            optional,
        };
        self.finish(offset, height, kind)
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, Mistake> {
        let mut arguments = Vec::new();
        if self.accept(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.accept(",") {
                self.expect(")")?;
                return Ok(arguments);
            }
        }
    }

    fn list(&mut self, offset: u32) -> Result<Expr, Mistake> {
        let mut elements = Vec::new();
        while !self.accept("]") {
            let optional = self.accept("?");
            elements.push(Element {
                value: self.expression()?,
                optional,
            });
            if !self.accept(",") {
                self.expect("]")?;
                break;
            }
        }
        let height = elements.iter().map(|element| element.value.height).max();
        self.finish(offset, height.unwrap_or(0), ExprKind::List(elements))
    }

    fn map(&mut self, offset: u32) -> Result<Expr, Mistake> {
        let mut entries = Vec::new();
        while !self.accept("}") {
            let optional = self.accept("?");
            let key = self.expression()?;
            self.expect(":")?;
            entries.push(Entry {
                key,
                value: self.expression()?,
                optional,
            });
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        let height = entries
            .iter()
            .map(|entry| entry.key.height.max(entry.value.height))
            .max();
        self.finish(offset, height.unwrap_or(0), ExprKind::Map(entries))
    }

    fn message(&mut self, offset: u32, name: String) -> Result<Expr, Mistake> {
        let mut height = 0;
        while !self.accept("}") {
            self.accept("?");
            self.field()?;
            self.expect(":")?;
            height = self.expression()?.height.max(height);
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        self.finish(offset, height, ExprKind::Message(name))
    }

    /// Creates a node for a name that a macro generates.
    pub(super) fn ident(&mut self, offset: u32, name: &str) -> Result<Expr, Mistake> {
        self.finish(offset, 0, ExprKind::Ident(name.to_owned()))
    }
}

/// Returns `a.b.c` if the expression consists only of names.
pub(super) fn qualified_name(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Ident(name) => Some(name.clone()),
        ExprKind::Select {
            operand,
            field,
            optional: false,
        } => Some(format!("{}.{field}", qualified_name(operand)?)),
        _ => None,
    }
}

fn binary_operator(token: &Token) -> Option<(Operator, u8)> {
    let relation = |relation| (Operator::Relation(relation), 0);
    let arithmetic = |operator, precedence| (Operator::Arithmetic(operator), precedence);
    Some(match token {
        Token::Symbol("==") => relation(Relation::Equal),
        Token::Symbol("!=") => relation(Relation::NotEqual),
        Token::Symbol("<") => relation(Relation::Less),
        Token::Symbol("<=") => relation(Relation::LessOrEqual),
        Token::Symbol(">") => relation(Relation::Greater),
        Token::Symbol(">=") => relation(Relation::GreaterOrEqual),
        Token::Reserved("in") => relation(Relation::In),
        Token::Symbol("+") => arithmetic(Arithmetic::Add, 1),
        Token::Symbol("-") => arithmetic(Arithmetic::Subtract, 1),
        Token::Symbol("*") => arithmetic(Arithmetic::Multiply, 2),
        Token::Symbol("/") => arithmetic(Arithmetic::Divide, 2),
        Token::Symbol("%") => arithmetic(Arithmetic::Remainder, 2),
        _ => return None,
    })
}

fn too_deep(offset: u32) -> Mistake {
    Mistake::new(
        offset,
        format!("the expression is nested deeper than {MAX_HEIGHT} levels"),
    )
    .suggest("split it into several rules or conditions")
}

/// Returns the text of a string literal.
pub(super) fn literal_text(expr: &Expr) -> Option<&Arc<str>> {
    match &expr.kind {
        ExprKind::Literal(Literal::Text(text)) => Some(text),
        _ => None,
    }
}
