//! The workspace as the rules see it: plain data, so that tests can plant what breaks a rule.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) crates: Vec<Crate>,
    /// Text of the files the rules look at, by path from the root, with `/` between folders.
    pub(super) files: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Crate {
    pub(super) name: String,
    /// From the root.
    pub(super) folder: String,
    /// What it is built with.
    pub(super) dependencies: Vec<String>,
    /// What only its tests, examples and benchmarks use.
    pub(super) dev_dependencies: Vec<String>,
}

impl Tree {
    /// Reads the workspace this program belongs to.
    pub(super) fn read() -> Result<Self, Box<dyn Error>> {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
        let root = metadata.workspace_root.as_std_path();
        let mut tree = Self::default();
        for package in metadata.workspace_packages() {
            let folder = package.manifest_path.parent().map(|p| p.as_std_path()).unwrap_or(root);
            let (dev, built): (Vec<_>, Vec<_>) =
                package.dependencies.iter().partition(|d| d.kind == DependencyKind::Development);
            let names =
                |list: Vec<&cargo_metadata::Dependency>| list.iter().map(|d| d.name.clone()).collect();
            tree.crates.push(Crate {
                name: package.name.to_string(),
                folder: relative(root, folder),
                dependencies: names(built),
                dev_dependencies: names(dev),
            });
        }
        for folder in ["crates", "xtask", "docs"] {
            tree.read_folder(root, &root.join(folder))?;
        }
        Ok(tree)
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) -> std::io::Result<()> {
        if !folder.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let extension = path.extension().and_then(|e| e.to_str());
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    self.read_folder(root, &path)?;
                }
            } else if matches!(extension, Some("rs" | "toml" | "md")) {
                self.files.insert(relative(root, &path), fs::read_to_string(&path)?);
            }
        }
        Ok(())
    }

    /// Rust files with their paths.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter().filter(|(path, _)| path.ends_with(".rs"));
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
