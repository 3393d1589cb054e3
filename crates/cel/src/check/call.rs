//! Checks function calls and resolves overloads.

use std::sync::Arc;

use super::{
    super::{
        ast::{Expr, Mistake},
        functions::{self, Function},
        node::Node,
        parser::{literal_text, qualified_name},
        signature::Signature,
        types::Type,
    },
    Checked, Checker, Parameters, operator, suggest,
};

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        expr: &Expr,
        target: Option<&Expr>,
        name: &str,
        arguments: &[Expr],
    ) -> Checked {
        let Some(target) = target else {
            return self.global(expr.offset, name, arguments);
        };
        if let Some(namespace) = qualified_name(target) {
            let full = format!("{namespace}.{name}");
            let local = self.locals.iter().any(|(local, _)| *local == namespace);
            if !local && self.function(&full).is_some() {
                return self.global(expr.offset, &full, arguments);
            }
        }
        self.member(expr.offset, target, name, arguments)
    }

    /// Finds a global function by its name, in the container or unqualified.
    fn function(&self, name: &str) -> Option<Callable<'_>> {
        self.candidates(name).iter().find_map(|name| {
            if let Some(function) = functions::find(name, false) {
                return Some(Callable::Known(function));
            }
            let declared = self
                .environment
                .functions
                .iter()
                .find(|(known, _)| known == name);
            declared.map(|(_, signatures)| Callable::Declared(signatures))
        })
    }

    fn global(&mut self, offset: u32, name: &str, arguments: &[Expr]) -> Checked {
        let (nodes, types): (Vec<Node>, Vec<Type>) = arguments
            .iter()
            .map(|argument| self.value(argument))
            .unzip();
        let (function, signatures) = match self.function(name) {
            Some(Callable::Known(function)) => (Some(function), function.signatures.as_slice()),
            Some(Callable::Declared(signatures)) => {
                let signatures = signatures.to_vec();
                let ty = self.resolve(offset, name, &signatures, &types);
                return (Node::Undefined(Box::from(name)), ty);
            }
            None => {
                let mut mistake = Mistake::new(offset, format!("unknown function `{name}`"));
                mistake.suggestion = suggest::suggestion(name, functions::names(false));
                if functions::find(name, true).is_some() {
                    mistake.suggestion = Some(format!("write it after its value: x.{name}(…)"));
                }
                self.mistakes.push(mistake);
                return (Node::Undefined(Box::from(name)), Type::Dyn);
            }
        };
        let ty = self.resolve_any(offset, name, signatures, &types);
        match function {
            Some(function) if name == "matches" => {
                self.matches(arguments.get(1), function, nodes, ty)
            }
            Some(function) => (Node::Call(function, nodes.into()), ty),
            None => (Node::Undefined(Box::from(name)), ty),
        }
    }

    fn member(&mut self, offset: u32, target: &Expr, name: &str, arguments: &[Expr]) -> Checked {
        let Some(function) = functions::find(name, true) else {
            let mut mistake = Mistake::new(offset, format!("unknown function `.{name}()`"));
            mistake.suggestion = suggest::suggestion(name, functions::names(true));
            if functions::find(name, false).is_some() {
                mistake.suggestion = Some(format!("write {name}(…)"));
            }
            self.mistakes.push(mistake);
            return (Node::Undefined(Box::from(name)), Type::Dyn);
        };
        let (target_node, target_type) = self.value(target);
        let mut nodes = vec![target_node];
        let mut types = vec![target_type];
        for argument in arguments {
            let (node, ty) = self.value(argument);
            nodes.push(node);
            types.push(ty);
        }
        let ty = self.resolve(offset, name, &function.signatures, &types);
        if name == "matches" {
            return self.matches(arguments.first(), function, nodes, ty);
        }
        if matches!(name, "or" | "orValue") {
            return match <[Node; 2]>::try_from(nodes) {
                Ok(parts) => (Node::OptionalOr(Box::new(parts), name == "orValue"), ty),
                Err(nodes) => (Node::Call(function, nodes.into()), ty),
            };
        }
        (operator::text_test(name, nodes, function), ty)
    }

    /// Compiles a literal pattern now, so that an invalid one is rejected and a valid one is not compiled at run time.
    fn matches(
        &mut self,
        pattern: Option<&Expr>,
        function: &'static Function,
        nodes: Vec<Node>,
        ty: Type,
    ) -> Checked {
        let Some((offset, text)) =
            pattern.and_then(|pattern| Some((pattern.offset, literal_text(pattern)?)))
        else {
            return (Node::Call(function, nodes.into()), ty);
        };
        match functions::Pattern::new(text) {
            Ok(pattern) => match nodes.into_iter().next() {
                Some(target) => (
                    Node::Matches(Box::new(target), Arc::new(pattern)),
                    Type::Bool,
                ),
                None => (Node::Undefined(Box::from("matches")), ty),
            },
            Err(error) => self.mistake(
                Mistake::new(offset, error.to_string())
                    .suggest("write it in RE2 syntax, without look-around and back-references"),
            ),
        }
    }

    fn resolve_any(
        &mut self,
        offset: u32,
        name: &str,
        signatures: &[Signature],
        types: &[Type],
    ) -> Type {
        // These functions take any number of arguments.
        let variadic = matches!(name, "math.greatest" | "math.least");
        if variadic && types.len() > 2 {
            let pair = |first: &Type, second: &Type| vec![first.clone(), second.clone()];
            let mut result = types.first().cloned().unwrap_or(Type::Dyn);
            for ty in types.iter().skip(1) {
                result = self.resolve(offset, name, signatures, &pair(&result, ty));
            }
            return result;
        }
        self.resolve(offset, name, signatures, types)
    }

    /// Returns the result type of the overloads that accept `types`. Records a mistake if none does.
    pub(super) fn resolve(
        &mut self,
        offset: u32,
        name: &str,
        signatures: &[Signature],
        types: &[Type],
    ) -> Type {
        let mut result: Option<Type> = None;
        for signature in signatures {
            if signature.parameters.len() != types.len() {
                continue;
            }
            let mut names = Parameters::new();
            let parameters: Vec<Type> = signature
                .parameters
                .iter()
                .map(|parameter| self.inference.instantiate(parameter, &mut names))
                .collect();
            let returns = self.inference.instantiate(&signature.result, &mut names);
            if !self.inference.assign_all(&parameters, types) {
                continue;
            }
            result = Some(match result {
                None => returns,
                Some(previous) if self.inference.same(&previous, &returns) => previous,
                Some(_) => Type::Dyn,
            });
        }
        if let Some(result) = result {
            return result;
        }
        let found: Vec<String> = types
            .iter()
            .map(|ty| self.inference.resolve(ty).to_string())
            .collect();
        let mut mistake = Mistake::new(
            offset,
            format!("`{name}` does not accept ({})", found.join(", ")),
        );
        let wanted: Vec<String> = signatures
            .iter()
            .take(4)
            .map(|signature| {
                let parameters: Vec<String> = signature
                    .parameters
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                format!("({})", parameters.join(", "))
            })
            .collect();
        if !wanted.is_empty() && signatures.len() <= 4 {
            mistake.suggestion = Some(format!("it accepts {}", wanted.join(" or ")));
        }
        self.mistakes.push(mistake);
        Type::Dyn
    }
}

enum Callable<'c> {
    Known(&'static Function),
    Declared(&'c [Signature]),
}
