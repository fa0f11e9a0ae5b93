//! A request: the envelope, the one operation that would run, its root fields and its names.

use super::GraphqlError;
use super::ast::{Document, Field, Kind, Operation, Selection, Value};
use super::parser::document;
use crate::profile::json;
use crate::profile::limits::GRAPHQL_BYTES_MAX;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};

/// A request that would run one operation.
#[derive(Debug)]
pub struct Call {
    document: Document,
    operation: usize,
    variables: Map<String, Json>,
}

/// One root field, aliases and fragments resolved.
#[derive(Debug, Clone, Copy)]
pub struct RootField<'a> {
    /// Type of the operation.
    pub kind: Kind,
    field: &'a Field,
}

impl<'a> RootField<'a> {
    /// The schema's name of the field.
    #[must_use]
    pub fn name(&self) -> &'a str {
        &self.field.name
    }
    /// Names of the arguments given.
    pub fn arguments(&self) -> impl Iterator<Item = &'a str> {
        self.field.args.iter().map(|(name, _)| name.as_str())
    }
}

/// The value of an argument or of a member in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument<'a> {
    /// Not given, and no default.
    Missing,
    /// A string, given in the document, by a variable or by its default.
    Text(&'a str),
    /// Of another type.
    Other,
}

/// Names that a selection may hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// Names that stay inside the resource, wherever they stand.
    pub base: BTreeSet<String>,
    /// Below the named field, only these instead.
    pub within: BTreeMap<String, BTreeSet<String>>,
}

impl Call {
    /// Parses a body of `application/json`.
    ///
    /// # Errors
    /// [`GraphqlError`] for all that is not exactly one operation in the strict grammar.
    pub fn parse(body: &[u8]) -> Result<Self, GraphqlError> {
        if body.len() > GRAPHQL_BYTES_MAX {
            return Err(GraphqlError::Bound("bytes"));
        }
        let envelope = json::parse(body).map_err(|_| GraphqlError::Envelope("is not strict JSON"))?;
        let Json::Object(mut envelope) = envelope else {
            return Err(GraphqlError::Envelope("is a batch or no object"));
        };
        let Some(Json::String(query)) = envelope.remove("query") else {
            return Err(GraphqlError::Envelope("has no `query`"));
        };
        let variables = match envelope.remove("variables") {
            None | Some(Json::Null) => Map::new(),
            Some(Json::Object(map)) => map,
            Some(_) => return Err(GraphqlError::Envelope("has `variables` that are no object")),
        };
        let wanted = match envelope.remove("operationName") {
            None | Some(Json::Null) => None,
            Some(Json::String(name)) => Some(name),
            Some(_) => return Err(GraphqlError::Envelope("has an `operationName` that is no string")),
        };
        if !envelope.is_empty() {
            return Err(GraphqlError::Envelope("has members that are not known here"));
        }
        let document = document(&query)?;
        let operation = match &wanted {
            None if document.operations.len() == 1 => 0,
            None => return Err(GraphqlError::Envelope("does not say which operation would run")),
            Some(_) => document
                .operations
                .iter()
                .position(|operation| operation.name == wanted)
                .ok_or(GraphqlError::Envelope("names an operation that is not there"))?,
        };
        Ok(Self { document, operation, variables })
    }

    fn operation(&self) -> Option<&Operation> {
        self.document.operations.get(self.operation)
    }

    /// Type of the operation that would run.
    #[must_use]
    pub fn kind(&self) -> Kind {
        // INVARIANT: `parse` set the index; a mutation is the more careful answer.
        self.operation().map_or(Kind::Mutation, |operation| operation.kind)
    }

    /// Every root field, conditional ones too, in document order; one in several fragments is listed once.
    ///
    /// # Errors
    /// [`GraphqlError::Document`] for a fragment that is not there.
    pub fn roots(&self) -> Result<Vec<RootField<'_>>, GraphqlError> {
        let mut out = Vec::new();
        let mut seen = BTreeSet::new();
        let mut todo: Vec<&[Selection]> = self.operation().map(|o| o.selection.as_slice()).into_iter().collect();
        while let Some(selections) = todo.pop() {
            for selection in selections {
                match selection {
                    Selection::Field(field) => out.push(RootField { kind: self.kind(), field }),
                    Selection::Inline(inner) => todo.push(inner),
                    Selection::Spread(name) => {
                        let inner = self.fragment(name)?;
                        if seen.insert(name) {
                            todo.push(inner);
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    fn fragment(&self, name: &str) -> Result<&[Selection], GraphqlError> {
        let found = self.document.fragments.get(name).map(Vec::as_slice);
        found.ok_or(GraphqlError::Document("spreads a fragment that is not there"))
    }

    /// The string at `path` of the arguments of a root field: first the argument, then members of input objects.
    ///
    /// # Errors
    /// [`GraphqlError::Document`] for a variable that is not declared.
    pub fn argument<'a>(&'a self, root: &RootField<'a>, path: &[String]) -> Result<Argument<'a>, GraphqlError> {
        let Some((first, members)) = path.split_first() else { return Ok(Argument::Other) };
        let find = |list: &'a [(String, Value)], key: &str| list.iter().find(|(k, _)| k == key).map(|(_, v)| v);
        let Some(mut value) = find(&root.field.args, first) else { return Ok(Argument::Missing) };
        for (depth, member) in members.iter().enumerate() {
            match value {
                Value::Object(list) => match find(list, member) {
                    Some(inner) => value = inner,
                    None => return Ok(Argument::Missing),
                },
                Value::Variable(name) => return self.variable(name, members.get(depth..).unwrap_or_default()),
                _ => return Ok(Argument::Other),
            }
        }
        match value {
            Value::Text(text) => Ok(Argument::Text(text)),
            Value::Variable(name) => self.variable(name, &[]),
            _ => Ok(Argument::Other),
        }
    }

    fn variable(&self, name: &str, members: &[String]) -> Result<Argument<'_>, GraphqlError> {
        let declared = self.operation().and_then(|operation| operation.variables.get(name));
        let default = declared.ok_or(GraphqlError::Document("uses a variable that it does not declare"))?;
        let Some(mut value) = self.variables.get(name) else {
            return Ok(match default {
                None => Argument::Missing,
                Some(Value::Text(text)) if members.is_empty() => Argument::Text(text),
                Some(_) => Argument::Other,
            });
        };
        for member in members {
            match value {
                Json::Object(map) => match map.get(member) {
                    Some(inner) => value = inner,
                    None => return Ok(Argument::Missing),
                },
                _ => return Ok(Argument::Other),
            }
        }
        Ok(match value {
            Json::String(text) => Argument::Text(text),
            _ => Argument::Other,
        })
    }

    /// Whether every name below the root fields is on the list. A fragment is visited once per context.
    ///
    /// # Errors
    /// [`GraphqlError::Field`] with the first name that is not.
    pub fn check_fields(&self, fields: &Fields) -> Result<(), GraphqlError> {
        let mut seen = BTreeSet::new();
        let mut todo: Vec<(&[Selection], Option<&str>)> = Vec::new();
        let context = |field: &'_ str, outer| match fields.within.get_key_value(field) {
            Some((name, _)) => Some(name.as_str()),
            None => outer,
        };
        for root in self.roots()? {
            todo.push((&root.field.selection, context(root.name(), None)));
        }
        while let Some((selections, at)) = todo.pop() {
            let allowed = at.and_then(|name| fields.within.get(name)).unwrap_or(&fields.base);
            for selection in selections {
                match selection {
                    Selection::Field(field) => {
                        if field.name != "__typename" && !allowed.contains(&field.name) {
                            return Err(GraphqlError::Field(field.name.clone()));
                        }
                        todo.push((&field.selection, context(&field.name, at)));
                    }
                    Selection::Inline(inner) => todo.push((inner, at)),
                    Selection::Spread(name) => {
                        let inner = self.fragment(name)?;
                        if seen.insert((name, at)) {
                            todo.push((inner, at));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(query: &str, variables: Json) -> Result<Call, GraphqlError> {
        Call::parse(serde_json::json!({ "query": query, "variables": variables }).to_string().as_bytes())
    }
    fn names(query: &str) -> Vec<String> {
        call(query, Json::Null).unwrap().roots().unwrap().iter().map(|r| r.name().to_owned()).collect()
    }
    fn text(query: &str, variables: Json, path: &[&str]) -> String {
        let call = call(query, variables).unwrap();
        let roots = call.roots().unwrap();
        let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
        format!("{:?}", call.argument(&roots[0], &path).unwrap())
    }

    #[test]
    fn aliases_fragments_and_conditions_hide_no_root_field() {
        assert_eq!(names("{ viewer: deleteThing }"), ["deleteThing"]);
        assert_eq!(names("query Q { a ...F ... on Query { b } ...{ c } } fragment F on Query { d ...G } fragment G on Query { e }").len(), 5);
        assert_eq!(names("mutation { a @skip(if: true) b @include(if: false) }"), ["a", "b"]);
        assert_eq!(names("{ ...F } fragment F on Query { a ...F }"), ["a"]);
    }

    #[test]
    fn arguments_are_found_through_variables_defaults_and_input_objects() {
        let var = "query($o: String!) { repository(owner: $o, name: \"web\") { id } }";
        assert_eq!(text(var, serde_json::json!({"o": "acme"}), &["owner"]), "Text(\"acme\")");
        assert_eq!(text(var, serde_json::json!({}), &["owner"]), "Missing");
        assert_eq!(text(var, serde_json::json!({"o": 7}), &["owner"]), "Other");
        assert_eq!(text("query($o: String = \"d\") { r(owner: $o) }", Json::Null, &["owner"]), "Text(\"d\")");
        let input = "mutation($i: I!) { m(input: $i) { x } }";
        assert_eq!(text(input, serde_json::json!({"i": {"repositoryId": "R_1"}}), &["input", "repositoryId"]), "Text(\"R_1\")");
        let half = "mutation($r: ID!) { m(input: {repositoryId: $r, title: \"\"\"t\"\"\"}) { x } }";
        assert_eq!(text(half, serde_json::json!({"r": "R_2"}), &["input", "repositoryId"]), "Text(\"R_2\")");
        let undeclared = call("{ r(owner: $o) }", serde_json::json!({"o": "acme"})).unwrap();
        assert!(undeclared.argument(&undeclared.roots().unwrap()[0], &["owner".into()]).is_err());
    }

    #[test]
    fn what_two_servers_may_read_differently_is_refused() {
        for body in [
            r#"[{"query":"{a}"}]"#,
            r#"{"query":"{a}","query":"mutation{b}"}"#,
            r#"{"query":"{a}","extensions":{"persistedQuery":{}}}"#,
            r#"{"query":"{a}","id":"x"}"#,
            r#"{"query":"query A{a} mutation B{b}"}"#,
            r#"{"query":"query A{a} mutation B{b}","operationName":"C"}"#,
            r#"{"query":"query A{a} mutation A{b}","operationName":"A"}"#,
            r#"{"query":"subscription{a}"}"#,
            r#"{"query":"{a @live}"}"#,
            r#"{"query":"{a(x:1,x:2)}"}"#,
            r#"{"query":"{}"}"#,
            r#"{"query":""}"#,
            r#"{"query":"{a} {b}"}"#,
            r#"{"variables":{}}"#,
        ] {
            assert!(Call::parse(body.as_bytes()).is_err(), "{body}");
        }
        let picked = Call::parse(br#"{"query":"query A{a} mutation B{b}","operationName":"B"}"#).unwrap();
        assert_eq!((picked.kind(), picked.roots().unwrap()[0].name()), (Kind::Mutation, "b"));
        assert!(call("{ ...Nowhere }", Json::Null).unwrap().roots().is_err());
    }

    #[test]
    fn a_field_that_leads_out_of_the_resource_is_named() {
        let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let fields = Fields {
            base: set(&["id", "title", "owner", "issues", "nodes"]),
            within: BTreeMap::from([("owner".to_owned(), set(&["login"]))]),
        };
        let check = |query: &str| call(query, Json::Null).unwrap().check_fields(&fields);
        assert_eq!(check("{ r { id owner { login __typename } issues { nodes { title } } } }"), Ok(()));
        assert_eq!(check("{ r { owner { id } } }"), Err(GraphqlError::Field("id".into())));
        assert_eq!(check("{ r { id: repositories { id } } }"), Err(GraphqlError::Field("repositories".into())));
        assert_eq!(check("{ r { ...F owner { ...F } } } fragment F on X { id }"), Err(GraphqlError::Field("id".into())));
    }

    #[test]
    fn fragments_that_use_each_other_cost_no_more_than_their_text() {
        let mut query = "{ r { ...F0 } }".to_owned();
        for n in 0..400 {
            query += &format!(" fragment F{n} on X {{ ...F{} ...F{} }}", n + 1, n + 1);
        }
        query += " fragment F400 on X { id }";
        let fields = Fields { base: BTreeSet::from(["id".to_owned()]), within: BTreeMap::new() };
        assert_eq!(call(&query, Json::Null).unwrap().check_fields(&fields), Ok(()));
    }

    #[test]
    fn a_body_is_bounded_at_n() {
        let body = |n: usize| {
            let bare = r#"{"query":"{a}","variables":{"x":""}}"#.len();
            format!(r#"{{"query":"{{a}}","variables":{{"x":"{}"}}}}"#, "y".repeat(n - bare))
        };
        assert!(Call::parse(body(GRAPHQL_BYTES_MAX).as_bytes()).is_ok());
        assert_eq!(Call::parse(body(GRAPHQL_BYTES_MAX + 1).as_bytes()).unwrap_err(), GraphqlError::Bound("bytes"));
    }
}
