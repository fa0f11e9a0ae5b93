//! Requests whose meaning is inside another protocol: git's ref commands, GraphQL's root fields.

use super::body::{media_type, one};
use super::extract::{Claim, Plain, winner};
use super::matcher::Matcher;
use super::template::{Captures, Fit, spell};
use super::view::{Extracted, Meaning, RequestView};
use super::{GraphqlRule, Profile};
use crate::git::{self, Phase, RefCommand, Service};
use crate::graphql::{Argument, Call, RootField};

impl Profile {
    pub(super) fn judge_git(&self, view: &RequestView<'_>, found: &git::Recognised<'_>) -> Result<Extracted, String> {
        let repo: Vec<&str> = found.repo.split('/').collect();
        if found.service == Service::UploadPack || found.phase == Phase::Advertise {
            return Ok(Extracted::Known(vec![self.git_read(&repo)?]));
        }
        if found.gzip {
            return Err("a push is in a content coding".into());
        }
        let bytes = view.body.ok_or("the commands of the push were not held")?;
        let list = git::parse_commands(bytes).map_err(|error| error.to_string())?;
        if list.commands.is_empty() {
            return Ok(Extracted::Known(vec![self.git_read(&repo)?]));
        }
        let actions = list.commands.iter().map(|command| self.git_change(&repo, command));
        Ok(Extracted::Known(actions.collect::<Result<_, _>>()?))
    }

    /// Listing refs and fetching. The listing before a push, and git's empty probe, show no more than a fetch does.
    fn git_read(&self, repo: &[&str]) -> Result<Meaning, String> {
        let mut claims = Vec::new();
        for op in &self.ops {
            for matched in &op.matches {
                if let Matcher::Upload { repo: template } = &matched.matcher
                    && let Fit::Exact(captures) = template.fit(repo)
                {
                    claims.push(Claim { op, matched, captures });
                    break;
                }
            }
        }
        let claim = winner(claims)?;
        self.meaning(claim.op, claim.matched, &claim.captures)
    }

    fn git_change(&self, repo: &[&str], command: &RefCommand) -> Result<Meaning, String> {
        let name: Vec<&str> = command.name.split('/').collect();
        let mut claims = Vec::new();
        for op in &self.ops {
            for matched in &op.matches {
                let Matcher::Receive { repo: template, changes, refs } = &matched.matcher else { continue };
                if let (Fit::Exact(mut captures), Fit::Exact(more)) = (template.fit(repo), refs.fit(&name))
                    && changes.contains(&command.change)
                {
                    captures.extend(more);
                    claims.push(Claim { op, matched, captures });
                    break;
                }
            }
        }
        let claim = winner(claims)?;
        let mut meaning = self.meaning(claim.op, claim.matched, &claim.captures)?;
        let attributes = [("git.ref", spell(&command.name)), ("git.change", command.change.word().to_owned())];
        let ids = [("git.old", command.old.clone()), ("git.new", command.new.clone())];
        meaning.attributes.extend(attributes.into_iter().chain(ids).map(|(k, v)| (k.to_owned(), v)));
        Ok(meaning)
    }

    pub(super) fn judge_graphql(&self, view: &RequestView<'_>, rule: &GraphqlRule) -> Result<Extracted, String> {
        Plain::of(view)?;
        if !view.query.is_empty() {
            return Err("a GraphQL request has a query string".into());
        }
        if media_type(view.headers)?.as_deref() != Some("application/json") {
            return Err("a GraphQL request is not application/json".into());
        }
        if !matches!(one(view.headers, "content-encoding")?, None | Some("identity")) {
            return Err("the body is in a content coding".into());
        }
        let call = Call::parse(view.body.ok_or("the body was not held")?).map_err(|error| error.to_string())?;
        let mut actions: Vec<Meaning> = Vec::new();
        for root in call.roots().map_err(|error| error.to_string())? {
            // `__typename` says what every client knows.
            if root.name() == "__typename" {
                continue;
            }
            let action = self.graphql_root(&call, &root)?;
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        call.check_fields(&rule.fields).map_err(|error| error.to_string())?;
        if actions.is_empty() { Err("no root field is known".into()) } else { Ok(Extracted::Known(actions)) }
    }

    fn graphql_root<'c>(&self, call: &'c Call, root: &RootField<'c>) -> Result<Meaning, String> {
        let mut claims = Vec::new();
        for op in &self.ops {
            for matched in &op.matches {
                let Matcher::Graphql { kind, name, args } = &matched.matcher else { continue };
                if *kind != root.kind || name != root.name() {
                    continue;
                }
                let mut captures = Captures::new();
                for (path, variable) in args {
                    match call.argument(root, path).map_err(|error| error.to_string())? {
                        Argument::Text(text) => captures.insert(variable.clone(), text.to_owned()),
                        _ => return Err(format!("the argument `{}` is no string", path.join("."))),
                    };
                }
                claims.push(Claim { op, matched, captures });
                break;
            }
        }
        let claim = winner(claims).map_err(|why| format!("{}: {why}", root.name()))?;
        self.meaning(claim.op, claim.matched, &claim.captures)
    }
}
