//! Upstreams: an echo that reflects credentials, GitHub's shape, a package index's, and a real git server.

mod echo;
mod git;
mod github;
mod packages;
mod proxy;
mod reflect;

pub use echo::Echo;
pub use git::{GitHttp, plain_git};
pub use github::{Act, GithubShape};
pub use packages::Packages;
pub use proxy::ConnectProxy;
