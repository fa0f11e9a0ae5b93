//! A SHAPE SERVER for GitHub's REST and GraphQL API: not GitHub, and no proof of how GitHub behaves.
//!
//! Written from the vendor's documentation:
//! * errors and authentication: <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>,
//!   <https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api>
//! * `GET /user`: <https://docs.github.com/en/rest/users/users#get-the-authenticated-user>
//! * repositories: <https://docs.github.com/en/rest/repos/repos#get-a-repository>
//! * archives: <https://docs.github.com/en/rest/repos/contents#download-a-repository-archive-tar>
//! * pull requests: <https://docs.github.com/en/rest/pulls/pulls>
//! * issues: <https://docs.github.com/en/rest/issues/issues>
//! * references: <https://docs.github.com/en/rest/git/refs#delete-a-reference>
//! * deploy keys: <https://docs.github.com/en/rest/deploy-keys/deploy-keys#create-a-deploy-key>
//! * user keys: <https://docs.github.com/en/rest/users/keys#create-a-public-ssh-key-for-the-authenticated-user>
//! * GraphQL: <https://docs.github.com/en/graphql/guides/forming-calls-with-graphql>
//! * GitHub Enterprise Server's prefixes `/api/v3` and `/api/graphql`:
//!   <https://docs.github.com/en/enterprise-server/rest/using-the-rest-api/getting-started-with-the-rest-api>

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use crate::{
    canary,
    error::Result,
    serve::{Call, Options, Reply, Server, handler, reply, reply_json, set_header},
};

/// The login behind the token.
const LOGIN: &str = "octocat";
const DOCS: &str = "https://docs.github.com/rest";

/// A shape server for GitHub's API.
pub struct GithubShape {
    server: Server,
    token: String,
    acts: Acts,
}

/// Something that changed state, as `POST /repos/o/r/issues` and its body.
#[derive(Clone, Debug)]
pub struct Act {
    /// Method and path, without an Enterprise prefix.
    pub what: String,
    /// The JSON body, null without one.
    pub body: Value,
}

type Acts = Arc<Mutex<Vec<Act>>>;

impl GithubShape {
    /// Starts one that accepts `token` alone.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub fn start(options: Options, token: &str) -> Result<Self> {
        let acts = Acts::default();
        let (state, expected) = (Arc::clone(&acts), Arc::<str>::from(token));
        let server = Server::start(
            options,
            handler(move |call| route(call, Arc::clone(&state), Arc::clone(&expected))),
        )?;
        Ok(Self {
            server,
            token: token.to_owned(),
            acts,
        })
    }

    /// A token of the shape of a classic personal access token: `ghp_` and 36 characters.
    #[must_use]
    pub fn fresh_token() -> String {
        let random: String = canary("")
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(36)
            .collect();
        format!("ghp_{random}")
    }

    /// The token it accepts.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What changed its state, in order.
    #[must_use]
    pub fn acts(&self) -> Vec<Act> {
        lock(&self.acts).clone()
    }
}

impl Deref for GithubShape {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn route(mut call: Call, acts: Acts, token: Arc<str>) -> Reply {
    let body = call.body().await;
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let mut answer = match refusal(&call, &token) {
        Some(refusal) => refusal,
        None => answer(&call, &body, &acts),
    };
    for (name, value) in [
        ("x-github-media-type", "github.v3; format=json"),
        ("x-oauth-scopes", "read:org, repo, workflow"),
        ("x-accepted-oauth-scopes", "repo"),
        ("x-ratelimit-limit", "5000"),
        ("x-ratelimit-remaining", "4999"),
    ] {
        set_header(&mut answer, name, value);
    }
    answer
}

fn refusal(call: &Call, token: &str) -> Option<Reply> {
    // `Bearer`, `token` and Basic with the token as password are all accepted by GitHub.
    match call
        .credentials
        .iter()
        .find(|seen| ["bearer", "token", "basic"].contains(&seen.slot.as_str()))
    {
        Some(seen) if seen.value == token => None,
        Some(_) => Some(problem(401, "Bad credentials")),
        None => Some(problem(401, "Requires authentication")),
    }
}

fn problem(status: u16, message: &str) -> Reply {
    reply_json(
        status,
        &json!({ "message": message, "documentation_url": DOCS, "status": status.to_string() }),
    )
}

fn answer(call: &Call, body: &Value, acts: &Acts) -> Reply {
    let path = call.path().strip_prefix("/api/v3").unwrap_or(call.path());
    let method = call.request.method().as_str();
    if path == "/graphql" || path == "/api/graphql" {
        return graphql(body, acts);
    }
    if method != "GET" && method != "HEAD" {
        lock(acts).push(Act {
            what: format!("{method} {path}"),
            body: body.clone(),
        });
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", [""]) => reply_json(
            200,
            &json!({ "current_user_url": call.base.clone() + "/user" }),
        ),
        ("GET", ["user"]) => reply_json(200, &user()),
        ("GET", ["user", "repos"]) => {
            reply_json(200, &json!([repository("octocat", "hello-world")]))
        }
        ("POST", ["user", "keys"]) => created(
            body,
            &["title", "key"],
            json!({ "id": 7, "verified": true }),
        ),
        ("GET", ["repos", owner, name]) => reply_json(200, &repository(owner, name)),
        ("DELETE", ["repos", _, _]) => reply(204, "text/plain", ""),
        ("GET", ["repos", owner, name, "pulls"]) => {
            reply_json(200, &json!([pull(owner, name, &Value::Null)]))
        }
        ("POST", ["repos", owner, name, "pulls"]) => {
            created(body, &["head", "base"], pull(owner, name, body))
        }
        ("GET", ["repos", owner, name, "issues"]) => {
            reply_json(200, &json!([issue(owner, name, &Value::Null)]))
        }
        ("POST", ["repos", owner, name, "issues"]) => {
            created(body, &["title"], issue(owner, name, body))
        }
        ("POST", ["repos", _, _, "issues", _, "comments"]) => {
            created(body, &["body"], json!({ "id": 11 }))
        }
        ("GET", ["repos", _, _, "keys"]) => reply_json(200, &json!([])),
        ("POST", ["repos", _, _, "keys"]) => {
            created(body, &["key"], json!({ "id": 8, "verified": true }))
        }
        ("POST", ["repos", _, _, "hooks"]) => {
            created(body, &["config"], json!({ "id": 9, "active": true }))
        }
        ("GET", ["repos", _, _, "tarball" | "zipball", ..]) => archive(call),
        ("DELETE", ["repos", _, _, "git", "refs", kind, rest @ ..]) if !rest.is_empty() => {
            delete_reference(kind, &rest.join("/"))
        }
        _ => problem(404, "Not Found"),
    }
}

/// 201, or GitHub's 422 when a required field is missing.
fn created(body: &Value, required: &[&str], extra: Value) -> Reply {
    if let Some(missing) = required.iter().find(|field| body.get(**field).is_none()) {
        let error = json!([{ "resource": "Resource", "field": missing, "code": "missing_field" }]);
        return reply_json(
            422,
            &json!({ "message": "Validation Failed", "errors": error, "documentation_url": DOCS }),
        );
    }
    let mut all = body.as_object().cloned().unwrap_or_default();
    all.extend(extra.as_object().cloned().unwrap_or_default());
    reply_json(201, &Value::Object(all))
}

fn delete_reference(kind: &str, name: &str) -> Reply {
    if name == "absent" || !["heads", "tags"].contains(&kind) {
        return problem(422, "Reference does not exist");
    }
    reply(204, "text/plain", "")
}

/// GitHub answers 302 to a short-lived URL on `codeload.github.com` that needs no further credential.
fn archive(call: &Call) -> Reply {
    let mut answer = reply(302, "text/plain", "");
    set_header(
        &mut answer,
        "location",
        &format!(
            "{}/codeload/archive?token={}",
            call.base,
            canary("codeload")
        ),
    );
    answer
}

fn user() -> Value {
    json!({ "login": LOGIN, "id": 1, "node_id": "U_1", "type": "User", "site_admin": false, "name": "The Octocat" })
}

fn repository(owner: &str, name: &str) -> Value {
    json!({
        "id": 1296269, "node_id": "R_1", "name": name, "full_name": format!("{owner}/{name}"), "private": true,
        "owner": { "login": owner, "id": 2, "type": "Organization" },
        "html_url": format!("https://github.com/{owner}/{name}"),
        "clone_url": format!("https://github.com/{owner}/{name}.git"),
        "default_branch": "main", "permissions": { "admin": true, "push": true, "pull": true },
    })
}

fn pull(owner: &str, name: &str, from: &Value) -> Value {
    json!({
        "id": 1, "number": 1347, "state": "open", "title": from.get("title").unwrap_or(&json!("Amazing new feature")),
        "html_url": format!("https://github.com/{owner}/{name}/pull/1347"), "user": user(),
        "head": { "ref": "feature", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e" }, "base": { "ref": "main" },
    })
}

fn issue(owner: &str, name: &str, from: &Value) -> Value {
    json!({
        "id": 1, "number": 1348, "state": "open", "title": from.get("title").unwrap_or(&json!("Found a bug")),
        "html_url": format!("https://github.com/{owner}/{name}/issues/1348"), "user": user(),
    })
}

/// Answers by what the query names; a real server would parse it. Enough for `gh auth status`, `gh api graphql`,
/// `gh repo view --json`, `gh pr list` and `gh issue list`.
fn graphql(body: &Value, acts: &Acts) -> Reply {
    let query = body
        .get("query")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let variable = |name: &str| {
        body.pointer(&format!("/variables/{name}"))
            .and_then(Value::as_str)
            .unwrap_or("x")
    };
    if query.trim_start().starts_with("mutation") {
        lock(acts).push(Act {
            what: "POST /graphql mutation".to_owned(),
            body: body.clone(),
        });
    }
    let (owner, name) = (variable("owner"), variable("name"));
    let data = if query.contains("pullRequests(") {
        let node = json!({ "number": 1347, "title": "Amazing new feature", "state": "OPEN", "url": "https://github.com/x/x/pull/1347",
            "headRefName": "feature", "headRepositoryOwner": { "login": owner }, "isCrossRepository": false, "isDraft": false });
        json!({ "repository": { "pullRequests": { "totalCount": 1, "nodes": [node], "pageInfo": page() } } })
    } else if query.contains("issues(") {
        let node = json!({ "number": 1348, "title": "Found a bug", "state": "OPEN", "url": "https://github.com/x/x/issues/1348",
            "updatedAt": "2026-01-02T03:04:05Z", "labels": { "nodes": [], "totalCount": 0 } });
        json!({ "repository": { "hasIssuesEnabled": true, "issues": { "totalCount": 1, "nodes": [node], "pageInfo": page() } } })
    } else if query.contains("repository(") {
        json!({ "repository": { "id": "R_1", "name": name, "nameWithOwner": format!("{owner}/{name}"), "owner": { "login": owner },
            "description": "a repository", "hasIssuesEnabled": true, "viewerPermission": "ADMIN", "isPrivate": true,
            "url": format!("https://github.com/{owner}/{name}"), "defaultBranchRef": { "name": "main" } } })
    } else if query.contains("viewer") {
        json!({ "viewer": { "login": LOGIN, "id": "U_1" } })
    } else if query.contains("deleteRef") {
        json!({ "deleteRef": { "clientMutationId": null } })
    } else if query.contains("createIssue") {
        json!({ "createIssue": { "issue": { "id": "I_1", "url": format!("https://github.com/{owner}/{name}/issues/1348") } } })
    } else {
        let error = json!([{ "type": "undefinedField", "message": "this shape server does not know the query" }]);
        return reply_json(200, &json!({ "data": null, "errors": error }));
    };
    reply_json(200, &json!({ "data": asked_for(data, query) }))
}

/// GraphQL answers exactly the fields that were asked for, and `gh` fails on any other.
fn asked_for(value: Value, query: &str) -> Value {
    let words: Vec<&str> = query
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    keep(value, &words)
}

fn keep(value: Value, words: &[&str]) -> Value {
    match value {
        Value::Object(fields) => {
            let asked = fields
                .into_iter()
                .filter(|(name, _)| words.contains(&name.as_str()));
            Value::Object(
                asked
                    .map(|(name, value)| (name, keep(value, words)))
                    .collect(),
            )
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(|item| keep(item, words)).collect())
        }
        other => other,
    }
}

fn page() -> Value {
    json!({ "hasNextPage": false, "endCursor": null })
}

fn lock(acts: &Acts) -> MutexGuard<'_, Vec<Act>> {
    acts.lock().unwrap_or_else(PoisonError::into_inner)
}
