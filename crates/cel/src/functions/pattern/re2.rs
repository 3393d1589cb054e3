//! Translates RE2 syntax to the syntax of the `regex` crate.
//!
//! The crate silently reads some constructs differently: set operations and nested classes in brackets, Unicode classes
//! for `\d`, `\w` and `\b`, `\<`, `(?x)`, `{,n}`. So nothing is copied. Every construct is parsed by the rules of RE2
//! and written in a form with one meaning in the crate.

use super::class;

/// Maximum number of open groups.
const MAX_NESTING: usize = 50;
/// Maximum number of repetition operators on one operand.
const MAX_OPERATORS: u8 = 2;
/// Limit of RE2 for one repetition, and for the product of nested repetitions.
const MAX_REPETITION: u32 = 1000;

/// The reason why a pattern is rejected.
pub(super) type Refusal = &'static str;

/// The flags of `(?ims)`. `(?U)` is ignored, because it does not change whether a text matches.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
}

/// The operand of the next repetition operator.
struct Operand {
    /// Start of the operand in the output.
    start: usize,
    /// Largest product of the nested repetitions in the operand.
    repetitions: u32,
    /// Number of repetition operators on the operand.
    operators: u8,
}

struct Group {
    start: usize,
    /// Flags outside of the group.
    flags: Flags,
    /// Largest product of repetitions before this group, in the enclosing group.
    repetitions: u32,
}

struct Translator<'p> {
    rest: &'p str,
    output: String,
    flags: Flags,
    groups: Vec<Group>,
    operand: Option<Operand>,
    repetitions: u32,
}

/// Translates an RE2 pattern.
///
/// # Errors
/// Returns the reason if RE2 rejects the pattern. Also rejects `\C` and escaped surrogates, which denote no character.
pub(super) fn translate(pattern: &str) -> Result<String, Refusal> {
    let mut translator = Translator {
        rest: pattern,
        output: String::with_capacity(pattern.len().saturating_mul(2)),
        flags: Flags::default(),
        groups: Vec::new(),
        operand: None,
        repetitions: 1,
    };
    let mut after_repetition = false;
    while let Some(character) = translator.rest.chars().next() {
        after_repetition = translator.step(character, after_repetition)?;
    }
    if translator.groups.is_empty() {
        Ok(translator.output)
    } else {
        Err("a group is not closed")
    }
}

impl Translator<'_> {
    /// Translates the construct that starts with `character`. Returns whether it was a repetition operator.
    fn step(&mut self, character: char, after_repetition: bool) -> Result<bool, Refusal> {
        match character {
            '*' | '+' | '?' => {
                self.skip(1);
                self.repeat(&character.to_string(), (0, 0), after_repetition)?;
                return Ok(true);
            }
            '{' => {
                if let Some((least, most, rest)) = repetition(self.rest) {
                    self.rest = rest;
                    let bounds = match most {
                        Some(most) => format!("{{{least},{most}}}"),
                        None => format!("{{{least},}}"),
                    };
                    self.repeat(&bounds, (least, most.unwrap_or(least)), after_repetition)?;
                    return Ok(true);
                }
                self.literal_next();
            }
            '(' if self.rest.starts_with("(?") => self.special_group()?,
            '(' => {
                self.skip(1);
                self.open()?;
            }
            ')' => self.close()?,
            '|' => {
                self.skip(1);
                self.output.push('|');
                self.operand = None;
            }
            '^' if self.flags.multi_line => self.atom_of(1, "(?m:^)"),
            '^' => self.atom_of(1, "^"),
            '$' if self.flags.multi_line => self.atom_of(1, "(?m:$)"),
            '$' => self.atom_of(1, "$"),
            '.' if self.flags.dot_matches_newline => self.atom_of(1, "(?s:.)"),
            '.' => self.atom_of(1, "."),
            '[' => {
                let (class, rest) = class::bracketed(self.rest)?;
                self.rest = rest;
                self.class(&class);
            }
            '\\' => self.escape()?,
            _ => self.literal_next(),
        }
        Ok(false)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn atom_of(&mut self, bytes: usize, translated: &str) {
        self.skip(bytes);
        self.atom(translated);
    }

    fn atom(&mut self, translated: &str) {
        self.operand = Some(Operand {
            start: self.output.len(),
            repetitions: 1,
            operators: 0,
        });
        self.output.push_str(translated);
    }

    fn class(&mut self, class: &str) {
        if self.flags.fold_case {
            self.atom(&format!("(?i:{class})"));
        } else {
            self.atom(class);
        }
    }

    fn literal(&mut self, character: char) {
        if self.flags.fold_case {
            self.atom(&format!("(?i:{})", class::written(character)));
        } else {
            self.atom(&class::written(character));
        }
    }

    fn literal_next(&mut self) {
        let mut characters = self.rest.chars();
        if let Some(character) = characters.next() {
            self.rest = characters.as_str();
            self.literal(character);
        }
    }

    /// Translates an escape outside of brackets.
    fn escape(&mut self) -> Result<(), Refusal> {
        match self.rest.chars().nth(1) {
            Some('b') => self.atom_of(2, r"(?-u:\b)"),
            Some('B') => self.atom_of(2, r"(?-u:\B)"),
            Some('A') => self.atom_of(2, "^"),
            Some('z') => self.atom_of(2, "$"),
            Some('C') => return Err(r"\C matches a byte, which may be half of a character"),
            Some('Q') => {
                self.skip(2);
                let (quoted, rest) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                self.rest = rest;
                quoted.chars().for_each(|character| self.literal(character));
            }
            _ => {
                if let Some((class, rest)) = class::escaped(self.rest)? {
                    self.rest = rest;
                    self.class(&format!("[{class}]"));
                } else {
                    let (character, rest) = class::escaped_character(self.rest)?;
                    self.rest = rest;
                    self.literal(character);
                }
            }
        }
        Ok(())
    }

    /// Applies a repetition operator with its bounds to the operand before it.
    fn repeat(
        &mut self,
        operator: &str,
        (least, most): (u32, u32),
        after_repetition: bool,
    ) -> Result<(), Refusal> {
        // Non-greedy operators match the same texts.
        if self.rest.starts_with('?') {
            self.skip(1);
        }
        if after_repetition {
            return Err("a repetition operator follows another");
        }
        let operand = self.operand.as_mut();
        let operand = operand.ok_or("a repetition operator has nothing to repeat")?;
        if least > MAX_REPETITION || most > MAX_REPETITION || most < least {
            return Err("bounds of a repetition are at most 1000, the smaller one first");
        }
        let product = operand.repetitions.saturating_mul(most.max(1));
        if product > MAX_REPETITION {
            return Err("nested repetitions repeat more than 1000 times");
        }
        operand.repetitions = product;
        // Only possible after flags, as in `a*(?i)*`.
        if operand.operators > 0 {
            self.output.insert_str(operand.start, "(?:");
            self.output.push(')');
        }
        operand.operators += 1;
        if operand.operators > MAX_OPERATORS {
            return Err("a part is repeated by more than two operators");
        }
        self.output.push_str(operator);
        self.repetitions = self.repetitions.max(product);
        Ok(())
    }

    fn open(&mut self) -> Result<(), Refusal> {
        if self.groups.len() >= MAX_NESTING {
            return Err("groups are nested more than 50 deep");
        }
        self.groups.push(Group {
            start: self.output.len(),
            flags: self.flags,
            repetitions: std::mem::replace(&mut self.repetitions, 1),
        });
        self.operand = None;
        self.output.push_str("(?:");
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refusal> {
        self.skip(1);
        let group = self.groups.pop().ok_or("`)` without `(`")?;
        self.output.push(')');
        self.flags = group.flags;
        self.operand = Some(Operand {
            start: group.start,
            repetitions: self.repetitions,
            operators: 0,
        });
        self.repetitions = self.repetitions.max(group.repetitions);
        Ok(())
    }

    /// Translates a group with a name or flags.
    fn special_group(&mut self) -> Result<(), Refusal> {
        self.skip(2);
        let name = self.rest.strip_prefix("P<").or_else(|| {
            // Look-behind, which is not a group name.
            let name = self.rest.strip_prefix('<')?;
            (!name.starts_with(['=', '!'])).then_some(name)
        });
        let Some(name) = name else {
            return self.change_flags();
        };
        let (name, rest) = name
            .split_once('>')
            .ok_or("the name of a group has no end")?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("names of groups are of ASCII letters, digits and `_`");
        }
        self.rest = rest;
        self.open()
    }

    fn change_flags(&mut self) -> Result<(), Refusal> {
        const UNKNOWN: Refusal =
            "unknown group: flags are i, m, s and U; look-around is not supported";
        let (mut flags, mut set, mut missing) = (self.flags, true, false);
        let mut characters = self.rest.chars();
        loop {
            match characters.next() {
                Some('i') => flags.fold_case = set,
                Some('m') => flags.multi_line = set,
                Some('s') => flags.dot_matches_newline = set,
                Some('U') => {}
                Some('-') if set => {
                    set = false;
                    missing = true;
                    continue;
                }
                Some(end @ (':' | ')')) if !missing => {
                    self.rest = characters.as_str();
                    if end == ':' {
                        self.open()?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return Err(UNKNOWN),
            }
            missing = false;
        }
    }
}

/// Parses `{2}`, `{2,}` or `{2,4}`. Other braces are literals in RE2, including `{,4}` and `{02}`.
fn repetition(text: &str) -> Option<(u32, Option<u32>, &str)> {
    // The bounds have at most nine digits each.
    let end = text.bytes().take(21).position(|byte| byte == b'}')?;
    let (bounds, rest) = (text.get(1..end)?, text.get(end + 1..)?);
    Some(match bounds.split_once(',') {
        Some((least, "")) => (bound(least)?, None, rest),
        Some((least, most)) => (bound(least)?, Some(bound(most)?), rest),
        None => (bound(bounds)?, Some(bound(bounds)?), rest),
    })
}

fn bound(digits: &str) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = digits.len() > 1 && digits.starts_with('0');
    // RE2 treats the brace as a literal if a bound has more than nine digits.
    (is_number && !is_padded && digits.len() <= 9).then(|| digits.parse().ok())?
}
