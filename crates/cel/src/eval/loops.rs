//! Evaluates loops over lists and maps, and bodies with bound names.

use std::sync::Arc;

use super::super::{
    ast::Quantifier,
    collection,
    error::Error,
    node::{Loop, Node},
    state::{Evaluation, Outcome},
    value::{Map, Value},
};

impl<'a> Evaluation<'a> {
    pub(super) fn optional_map(
        &mut self,
        target: &'a Node,
        body: &'a Node,
        flat: bool,
    ) -> Outcome<'a> {
        self.charge(1)?;
        match self.value(target)? {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => {
                let outer = self.locals.len();
                self.locals.push(Ok((*inner).clone()));
                let result = self.value(body);
                self.locals.truncate(outer);
                match (result?, flat) {
                    (value, false) => Ok(Value::some(value)),
                    (value @ Value::Optional(_), true) => Ok(value),
                    _ => Err(Error::overload("optFlatMap")),
                }
            }
            _ => Err(Error::overload("optMap")),
        }
    }

    pub(super) fn optional_or(&mut self, parts: &'a [Node; 2], value: bool) -> Outcome<'a> {
        self.charge(1)?;
        let [first, second] = parts;
        match (self.value(first)?, value) {
            (Value::Optional(Some(inner)), true) => Ok((*inner).clone()),
            (first @ Value::Optional(Some(_)), false) => Ok(first),
            (Value::Optional(None), true) => self.value(second),
            (Value::Optional(None), false) => match self.value(second)? {
                second @ Value::Optional(_) => Ok(second),
                _ => Err(Error::overload("or")),
            },
            _ => Err(Error::overload(if value { "orValue" } else { "or" })),
        }
    }

    pub(super) fn quantifier(
        &mut self,
        quantifier: Quantifier,
        body: &'a Loop,
    ) -> Result<bool, Error> {
        let decisive = match quantifier {
            Quantifier::All => Some(false),
            Quantifier::Exists => Some(true),
            Quantifier::ExistsOne => None,
        };
        let mut failed = None;
        let mut count = 0_u32;
        self.each(body, |this| {
            match (this.test(&body.body), decisive) {
                (Ok(value), Some(decisive)) if value == decisive => return Ok(false),
                (Ok(value), None) => count += u32::from(value),
                (Ok(_), Some(_)) => {}
                (Err(Error::TooExpensive), _) => return Err(Error::TooExpensive),
                (Err(error), Some(_)) => {
                    if failed.is_none() {
                        failed = Some(error);
                    }
                }
                (Err(error), None) => return Err(error),
            }
            Ok(true)
        })
        .and_then(|finished| match (decisive, finished, failed) {
            (Some(decisive), false, _) => Ok(decisive),
            (_, _, Some(error)) => Err(error),
            (Some(decisive), true, None) => Ok(!decisive),
            (None, _, None) => Ok(count == 1),
        })
    }

    /// Evaluates `filter`.
    pub(super) fn filter(&mut self, body: &'a Loop) -> Outcome<'a> {
        let mut output = Vec::new();
        self.each_selected(body, |this| {
            if this.test(&body.body)?
                && let Some(element) = this.locals.last()
            {
                output.push(element.clone()?);
            }
            Ok(())
        })?;
        Ok(Value::list(output))
    }

    /// Evaluates `map` and `transformList`.
    pub(super) fn transform_list(&mut self, body: &'a Loop) -> Outcome<'a> {
        let mut output = Vec::new();
        self.each_selected(body, |this| {
            output.push(this.value(&body.body)?);
            Ok(())
        })?;
        Ok(Value::list(output))
    }

    /// Evaluates `transformMap`.
    pub(super) fn transform_map(&mut self, body: &'a Loop) -> Outcome<'a> {
        let mut output = Map::default();
        self.each_selected(body, |this| {
            let result = this.value(&body.body)?;
            // The innermost names are the key and the value.
            let key = this.locals.iter().rev().nth(1).cloned();
            insert(&mut output, key.ok_or(Error::NoValue)??, result)
        })?;
        Ok(Value::Map(Arc::new(output)))
    }

    /// Evaluates `transformMapEntry`.
    pub(super) fn transform_map_entries(&mut self, body: &'a Loop) -> Outcome<'a> {
        let mut output = Map::default();
        self.each_selected(body, |this| {
            let result = this.value(&body.body)?;
            for (key, value) in collection::pairs(this, &result)?.ok_or(Error::NoSuchKey)? {
                insert(&mut output, key, value)?;
            }
            Ok(())
        })?;
        Ok(Value::Map(Arc::new(output)))
    }

    /// Runs `step` like [`Self::each`], for each element that the filter of the loop accepts.
    fn each_selected(
        &mut self,
        body: &'a Loop,
        mut step: impl FnMut(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.each(body, |this| {
            let selected = match &body.filter {
                Some(filter) => this.test(filter)?,
                None => true,
            };
            if selected {
                step(this)?;
            }
            Ok(true)
        })?;
        Ok(())
    }

    /// Runs `step` for each element with the loop variables bound. Stops and returns false if `step` returns false.
    fn each(
        &mut self,
        body: &'a Loop,
        mut step: impl FnMut(&mut Self) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let range = self.value(&body.range)?;
        let outer = self.locals.len();
        let mut run = |this: &mut Self, first: Value<'a>, second: Option<Value<'a>>| {
            this.charge(2)?;
            this.locals.push(Ok(first));
            this.locals.extend(second.map(Ok));
            let more = step(this);
            this.locals.truncate(outer);
            more
        };
        if let Some(elements) = collection::items(self, &range)? {
            for (index, element) in elements.iter().enumerate() {
                let more = if body.two {
                    let index = Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                    run(self, index, Some(element.clone()))
                } else {
                    run(self, element.clone(), None)
                };
                if !more? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let Some(pairs) = collection::pairs(self, &range)? else {
            return Err(Error::overload("a loop"));
        };
        for (key, value) in pairs {
            if !run(self, key, body.two.then_some(value))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn insert<'a>(output: &mut Map<'a>, key: Value<'a>, value: Value<'a>) -> Result<(), Error> {
    if output.insert(key, value) {
        Ok(())
    } else {
        Err(Error::DuplicateKey)
    }
}
