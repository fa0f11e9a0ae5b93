//! The files that ship with the product.

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        /// Name and text of each file of `services/commands`.
        pub(super) const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../../services/commands/", $name, ".toml")))),+];
    };
}

files!(
    "aws", "azure", "containers", "databases", "git", "google", "http", "infrastructure", "keys", "kubernetes", "ordinary", "packages", "paths", "platforms",
    "remote", "secrets", "system", "variables",
);
