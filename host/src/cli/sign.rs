//! `gatewright keygen` and `gatewright sign`: keys that sign plugins, and their signatures.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::print;
use crate::plugin::hash_of;
use crate::reload::SigningKey;

/// Make a key that signs plugins.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Where the private key goes (PEM); it must not exist. The public key is printed, for `plugins.trusted_keys`.
    file: PathBuf,
}

/// Sign plugins.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// The private key, as `keygen` writes it.
    #[arg(long)]
    key: PathBuf,
    /// The plugins. Each signature goes beside its file, with `.sig` added to the name, in place of what is there.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(super) fn keygen(args: &KeygenArgs) -> anyhow::Result<u8> {
    let (key, pem) = SigningKey::generate()?;
    let at = args.file.display();
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&args.file).with_context(|| format!("make {at}"))?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).with_context(|| format!("write {at}"))?;
    print(&key.public()?.to_string())
}

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<u8> {
    let key = std::fs::read(&args.key).with_context(|| format!("read {}", args.key.display()))?;
    let key = SigningKey::from_pem(&key).with_context(|| args.key.display().to_string())?;
    for path in &args.files {
        let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let hash = hash_of(&bytes);
        replace(&with_sig(path), &key.sign(&hash)?)?;
        print(&format!("sha256:{hash} {}", path.display()))?;
    }
    Ok(0)
}

fn with_sig(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// Writes a file beside and renames it, so that nobody reads half of it.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let draft = path.with_file_name(format!(".{name}"));
    std::fs::write(&draft, text).with_context(|| format!("write {}", draft.display()))?;
    std::fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
}
