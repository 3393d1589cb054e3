//! Splits source text into tokens.

use std::sync::Arc;

use super::{
    ast::{Literal, Mistake},
    escape,
};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name that may be a variable.
    Name(String),
    /// A keyword or reserved word.
    Reserved(&'static str),
    /// A field name in backticks.
    Quoted(String),
    /// Digits without a sign. `9223372036854775808` is valid after a minus.
    Integer(u64),
    Literal(Literal),
    Symbol(&'static str),
    End,
}

/// A token with its byte offset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spanned {
    pub(crate) token: Token,
    pub(crate) offset: u32,
}

const RESERVED: [&str; 20] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
];
const SYMBOLS: [&str; 27] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}", "=", "&", "|",
];

/// Splits `source` into tokens. The last token is [`Token::End`].
pub(crate) fn tokens(source: &str) -> Result<Vec<Spanned>, Mistake> {
    let mut lexer = Lexer {
        source,
        position: 0,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let offset = lexer.offset();
        let token = lexer.token()?;
        let end = token == Token::End;
        tokens.push(Spanned { token, offset });
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    position: usize,
}

impl<'a> Lexer<'a> {
    fn offset(&self) -> u32 {
        u32::try_from(self.position).unwrap_or(u32::MAX)
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.position..).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            let skipped = rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                let line = trimmed.find('\n').unwrap_or(trimmed.len());
                self.position += skipped + line;
            } else {
                self.position += skipped;
                return;
            }
        }
    }

    fn token(&mut self) -> Result<Token, Mistake> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        let second = rest.chars().nth(1);
        if first.is_ascii_digit()
            || (first == '.' && second.is_some_and(|next| next.is_ascii_digit()))
        {
            return self.number();
        }
        if let Some(token) = self.text()? {
            return Ok(token);
        }
        if first == '_' || first.is_ascii_alphabetic() {
            return Ok(self.name());
        }
        if first == '`' {
            return self.quoted();
        }
        let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
            return Err(Mistake::new(
                self.offset(),
                format!("unexpected character {first:?}"),
            ));
        };
        let mistake = match *symbol {
            "=" => Some(("`=` is not an operator", "write `==` to compare")),
            "&" => Some(("`&` is not an operator", "write `&&`")),
            "|" => Some(("`|` is not an operator", "write `||`")),
            _ => None,
        };
        if let Some((message, suggestion)) = mistake {
            return Err(Mistake::new(self.offset(), message).suggest(suggestion));
        }
        self.position += symbol.len();
        Ok(Token::Symbol(symbol))
    }

    fn name(&mut self) -> Token {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default().to_owned();
        self.position += end;
        let reserved = RESERVED
            .iter()
            .chain(&["while"])
            .find(|word| **word == name);
        match reserved {
            Some(word) => Token::Reserved(word),
            None => Token::Name(name),
        }
    }

    fn quoted(&mut self) -> Result<Token, Mistake> {
        let offset = self.offset();
        let inner = self.rest().get(1..).unwrap_or_default();
        let Some(end) = inner.find('`') else {
            return Err(Mistake::new(
                offset,
                "the field name in backticks is not closed",
            ));
        };
        let name = inner.get(..end).unwrap_or_default().to_owned();
        let allowed =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' ');
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(Mistake::new(offset, "invalid field name in backticks"));
        }
        self.position += end + 2;
        Ok(Token::Quoted(name))
    }

    fn number(&mut self) -> Result<Token, Mistake> {
        let offset = self.offset();
        let rest = self.rest();
        if let Some(hexadecimal) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            let digits = leading(hexadecimal, |c| c.is_ascii_hexdigit());
            let value = u64::from_str_radix(digits, 16);
            let length = digits.len() + 2;
            return self.integer(offset, length, value.ok());
        }
        let whole = leading(rest, |c| c.is_ascii_digit()).len();
        let mut end = whole;
        let after = |end: usize| rest.get(end..).unwrap_or_default();
        if let Some(fraction) = after(end).strip_prefix('.') {
            let digits = leading(fraction, |c| c.is_ascii_digit()).len();
            if digits > 0 {
                end += 1 + digits;
            }
        }
        if let Some(exponent) = after(end).strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let digits = leading(unsigned, |c| c.is_ascii_digit()).len();
            if digits > 0 {
                end += 1 + (exponent.len() - unsigned.len()) + digits;
            }
        }
        let text = rest.get(..end).unwrap_or_default();
        if end == whole {
            let value = text.parse().ok();
            return self.integer(offset, end, value);
        }
        let value = text
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite())
            .ok_or_else(|| Mistake::new(offset, "the number is out of range"))?;
        self.position += end;
        self.no_name_follows(offset)?;
        Ok(Token::Literal(Literal::Double(value)))
    }

    fn integer(
        &mut self,
        offset: u32,
        length: usize,
        value: Option<u64>,
    ) -> Result<Token, Mistake> {
        let value = value.ok_or_else(|| Mistake::new(offset, "the integer is out of range"))?;
        self.position += length;
        let unsigned = self.rest().starts_with(['u', 'U']);
        if unsigned {
            self.position += 1;
        }
        self.no_name_follows(offset)?;
        Ok(if unsigned {
            Token::Literal(Literal::Uint(value))
        } else {
            Token::Integer(value)
        })
    }

    fn no_name_follows(&self, offset: u32) -> Result<(), Mistake> {
        if self
            .rest()
            .starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric())
        {
            return Err(Mistake::new(offset, "invalid number"));
        }
        Ok(())
    }

    /// Reads a string or bytes literal, if one starts here.
    fn text(&mut self) -> Result<Option<Token>, Mistake> {
        let offset = self.offset();
        let rest = self.rest();
        let prefix = leading(rest, |c| matches!(c, 'r' | 'R' | 'b' | 'B'));
        let quoted = rest.get(prefix.len()..).unwrap_or_default();
        if prefix.len() > 2 || !quoted.starts_with(['"', '\'']) {
            return Ok(None);
        }
        let lower = prefix.to_ascii_lowercase();
        if lower == "rr" || lower == "bb" {
            return Ok(None);
        }
        let raw = lower.contains('r');
        let bytes = lower.contains('b');
        let quote = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|quote| quoted.starts_with(quote))
            .unwrap_or("\"");
        let body = quoted.get(quote.len()..).unwrap_or_default();
        let Some(length) = closing(body, quote, raw) else {
            return Err(Mistake::new(offset, "the string is not closed")
                .suggest(format!("close it with {quote}")));
        };
        // Normalizes line ends in literals to line feeds, like the reference implementations.
        let body = body.get(..length).unwrap_or_default();
        let body = body.replace("\r\n", "\n").replace('\r', "\n");
        let literal = match (bytes, raw) {
            (false, true) => Literal::Text(Arc::from(body.as_str())),
            (false, false) => Literal::Text(Arc::from(
                escape::text(&body).map_err(|message| Mistake::new(offset, message))?,
            )),
            (true, true) => Literal::Bytes(Arc::from(body.as_bytes())),
            (true, false) => Literal::Bytes(Arc::from(
                escape::bytes(&body).map_err(|message| Mistake::new(offset, message))?,
            )),
        };
        self.position += prefix.len() + length + 2 * quote.len();
        Ok(Some(Token::Literal(literal)))
    }
}

/// Returns the length of the text up to its closing quote.
fn closing(body: &str, quote: &str, raw: bool) -> Option<usize> {
    let triple = quote.len() == 3;
    let mut characters = body.char_indices();
    while let Some((index, character)) = characters.next() {
        if body
            .get(index..)
            .is_some_and(|rest| rest.starts_with(quote))
        {
            return Some(index);
        }
        if character == '\\' && !raw {
            characters.next();
        } else if !triple && matches!(character, '\n' | '\r') {
            return None;
        }
    }
    None
}

fn leading(text: &str, accept: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !accept(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}
