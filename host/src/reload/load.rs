//! Reads everything that is configured, and makes a snapshot of it if anything changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Source;
use super::files::Files;
use super::trust::Trust;
use crate::config::{CompilerConfig, Config, Document, Faults, KeySource, Place, QuarantineConfig, SecretConfig};
use crate::plugin::{Compiler, SharedPlugin, hash_of};
use crate::snapshot::{Inputs, Shared, Snapshot};

/// Reads everything that is configured.
#[derive(Debug)]
pub struct Loader {
    source: Source,
    files: Files,
    /// Plugins by name: the last good one of each.
    plugins: BTreeMap<String, SharedPlugin>,
    /// The version before the last good one and its signatures, for when the last good one must be taken out.
    earlier: BTreeMap<String, (SharedPlugin, Option<String>)>,
    /// The hash of the configuration's text at the last look.
    document: Option<String>,
    /// The hash of the newest file of each plugin, and why it cannot be used.
    newest: BTreeMap<String, (String, Option<String>)>,
    /// The hash of each newest file that the operator does not accept, and why.
    distrusted: BTreeMap<String, (String, String)>,
    /// The signatures with which each loaded plugin was accepted.
    signatures: BTreeMap<String, String>,
    /// Since when each plugin's newest file cannot be used, and why.
    refused: BTreeMap<String, (String, SystemTime)>,
    /// The hash of everything at the last look.
    seen: Option<String>,
}

/// What was read in a look.
#[derive(Debug)]
pub struct Loaded {
    /// A new snapshot; none if nothing changed since the last look.
    pub result: Result<Option<Arc<Snapshot>>, Faults>,
    /// Every file that was read or missed.
    pub files: BTreeSet<PathBuf>,
    /// Plugins whose newest file cannot be used, and why.
    pub broken: BTreeMap<String, String>,
    /// The hash of each such file, and since when it is known.
    pub refused: BTreeMap<String, (String, SystemTime)>,
    /// Plugins that serve on although their file is gone.
    pub missing: BTreeSet<String>,
    /// Plugins in the drop folder that no policy uses: they are checked and not prepared.
    pub unused: BTreeSet<String>,
    /// Whether everything was as at the last look.
    pub looked_again: bool,
    /// When.
    pub at: SystemTime,
}

impl Loader {
    /// Reads from this source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            files: Files::default(),
            plugins: BTreeMap::new(),
            earlier: BTreeMap::new(),
            document: None,
            newest: BTreeMap::new(),
            distrusted: BTreeMap::new(),
            signatures: BTreeMap::new(),
            refused: BTreeMap::new(),
            seen: None,
        }
    }

    /// The folders in which the files are.
    #[must_use]
    pub fn folders(&self, files: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for file in files.iter().chain([&self.source.config]) {
            if file.is_dir() {
                folders.insert(file.clone());
            }
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folders.insert(parent.to_path_buf());
        }
        folders
    }

    /// Looks at everything.
    #[must_use]
    pub fn load(&mut self, previous: Option<&Arc<Snapshot>>, shared: &Shared) -> Loaded {
        let mut loaded = Loaded {
            result: Ok(None),
            files: BTreeSet::new(),
            broken: BTreeMap::new(),
            refused: BTreeMap::new(),
            missing: BTreeSet::new(),
            unused: BTreeSet::new(),
            looked_again: false,
            at: SystemTime::now(),
        };
        let document = match self.document(&mut loaded) {
            Ok(document) => document,
            Err(faults) => {
                let hash = hash_of(faults.to_string().as_bytes());
                loaded.looked_again = self.seen.replace(hash.clone()) == Some(hash);
                loaded.result = Err(faults);
                return loaded;
            }
        };
        let (config, faults) = Config::read(&document);
        let text = hash_of(document.value.to_string().as_bytes());
        if self.document.replace(text.clone()).is_some_and(|known| known != text) {
            self.lift_quarantine();
        }
        let mut hashes = vec![text];
        self.plugins(&document, &config, (&mut loaded, &mut hashes), shared);
        self.referenced(&document, &config, &mut loaded, &mut hashes);
        let hash = hash_of(hashes.join(" ").as_bytes());
        // A file that cannot be used changes what is said and not what is served.
        let seen = hash_of(format!("{hash} {:?} {:?}", loaded.broken, loaded.missing).as_bytes());
        if self.seen.replace(seen.clone()) == Some(seen) {
            loaded.looked_again = true;
            return loaded;
        }
        if previous.is_some_and(|previous| previous.hash == hash) {
            return loaded;
        }
        let inputs = Inputs {
            document: &document,
            config,
            faults,
            plugins: self.plugins.clone(),
            unused: loaded.unused.clone(),
            broken: loaded.broken.clone(),
            hash,
            previous: previous.cloned(),
        };
        loaded.result = Snapshot::build(&inputs, shared).map(|snapshot| Some(Arc::new(snapshot)));
        loaded
    }

    fn document(&self, loaded: &mut Loaded) -> Result<Document, Faults> {
        // Two reads that agree: a file that is being written is not taken half.
        let mut last = None;
        for _ in 0..DOCUMENT_READS_MAX {
            let document = Document::read(&self.source.config, &self.source.environment);
            let seen = match &document {
                Ok(document) => hash_of(format!("{:?}", document.sources).as_bytes()),
                Err(faults) => faults.to_string(),
            };
            if last.replace(seen.clone()) == Some(seen) {
                if let Ok(document) = &document {
                    loaded.files.extend(document.sources.iter().map(|(path, _)| path.clone()));
                }
                return document;
            }
            std::thread::sleep(STILL);
        }
        let mut faults = Faults::default();
        let place = Place { file: self.source.config.display().to_string().into(), line: 0 };
        faults.add(&place, "", "is still being written");
        Err(faults)
    }

    /// Looks at what is new in the drop folder. A file that is gone or cannot be used leaves the last good one.
    fn plugins(
        &mut self,
        document: &Document,
        config: &Config,
        (loaded, hashes): (&mut Loaded, &mut Vec<String>),
        shared: &Shared,
    ) {
        let folder = document.folder.join(&config.plugins.folder);
        loaded.files.insert(folder.clone());
        let used: BTreeSet<&String> = config.policies.values().map(|policy| &policy.plugin).collect();
        let trust = Trust(&config.plugins);
        let mut present = BTreeSet::new();
        self.distrusted.clear();
        for path in wasm_files(&folder) {
            let Some(name) = path.file_stem().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            let compiler = (&*shared.compiler, &config.plugins.compiler);
            if let Err(error) = self.file((&name, &path), used.contains(&name), &trust, compiler) {
                self.newest.insert(name.clone(), (String::new(), Some(error.to_string())));
            }
            if let Some((_, Some(error))) = self.newest.get(&name) {
                loaded.broken.insert(name.clone(), error.clone());
            }
            if let Some((_, error)) = self.distrusted.get(&name) {
                loaded.broken.insert(name.clone(), error.clone());
            }
            present.insert(name);
        }
        self.take_out(config, loaded);
        let Self { plugins, signatures, .. } = self;
        // What served before serves on only as long as the operator would accept it now.
        plugins.retain(|name, plugin| {
            let accepted = trust.check(name, &plugin.hash, signatures.get(name).map(String::as_str));
            used.contains(name) && accepted.is_ok()
        });
        signatures.retain(|name, _| plugins.contains_key(name));
        self.earlier.retain(|name, _| used.contains(name));
        self.newest.retain(|name, _| present.contains(name));
        self.note_refused(loaded);
        loaded.missing = self.plugins.keys().filter(|name| !present.contains(*name)).cloned().collect();
        loaded.unused = present.into_iter().filter(|name| !used.contains(name)).collect();
        for (name, plugin) in &self.plugins {
            hashes.push(format!("{name}={}", plugin.hash));
        }
    }

    /// Goes back to the earlier version of each plugin that failed too often.
    fn take_out(&mut self, config: &Config, loaded: &mut Loaded) {
        let QuarantineConfig { faults, per } = &config.plugins.quarantine;
        for (name, plugin) in &mut self.plugins {
            if !plugin.health.is_out() {
                continue;
            }
            let error = format!("{QUARANTINED}: it failed {faults} times within {per}");
            loaded.broken.insert(name.clone(), error.clone());
            self.newest.insert(name.clone(), (plugin.hash.clone(), Some(error)));
            if let Some((earlier, signatures)) = self.earlier.remove(name) {
                tracing::warn!(plugin = name, hash = earlier.hash, "the version before serves again");
                *plugin = earlier;
                self.signatures.remove(name);
                self.signatures.extend(signatures.map(|text| (name.clone(), text)));
            }
        }
    }

    /// A changed configuration may be the remedy.
    fn lift_quarantine(&mut self) {
        self.newest.retain(|_, (_, error)| !error.as_ref().is_some_and(|error| error.starts_with(QUARANTINED)));
        // What still runs with the old configuration says nothing of the new one.
        for plugin in self.plugins.values_mut().filter(|plugin| plugin.health.is_out()) {
            *plugin = Arc::new(plugin.again());
        }
    }

    /// Notes since when each file that cannot be used is known.
    fn note_refused(&mut self, loaded: &mut Loaded) {
        self.refused.retain(|name, (error, _)| loaded.broken.get(name) == Some(error));
        for (name, error) in &loaded.broken {
            let (_, since) = self.refused.entry(name.clone()).or_insert_with(|| (error.clone(), loaded.at));
            let distrusted = self.distrusted.get(name).map(|(hash, _)| hash);
            let hash = distrusted.or(self.newest.get(name).map(|(hash, _)| hash)).cloned().unwrap_or_default();
            loaded.refused.insert(name.clone(), (hash, *since));
        }
    }

    /// Looks at a plugin's file, if the operator accepts it.
    fn file(
        &mut self,
        (name, path): (&str, &Path),
        used: bool,
        trust: &Trust<'_>,
        compiler: (&Compiler, &CompilerConfig),
    ) -> std::io::Result<()> {
        let (hash, bytes) = self.files.read(path)?;
        let signatures = signatures_beside(path)?;
        if let Err(why) = trust.check(name, &hash, signatures.as_deref()) {
            if self.refused.get(name).is_none_or(|(known, _)| *known != why) {
                tracing::error!(plugin = name, error = why, "plugin refused");
            }
            self.distrusted.insert(name.to_owned(), (hash, why));
            return Ok(());
        }
        self.plugin((name, path), (hash.clone(), bytes), used, compiler)?;
        if self.plugins.get(name).is_some_and(|plugin| plugin.hash == hash) {
            self.signatures.remove(name);
            self.signatures.extend(signatures.map(|text| (name.to_owned(), text)));
        }
        Ok(())
    }

    /// Looks at a plugin's file, if it is new.
    fn plugin(
        &mut self,
        (name, path): (&str, &Path),
        (hash, bytes): (String, Option<Vec<u8>>),
        used: bool,
        (compiler, bounds): (&Compiler, &CompilerConfig),
    ) -> std::io::Result<()> {
        let known = self.newest.get(name).filter(|(known, _)| *known == hash);
        let loaded = self.plugins.get(name).is_some_and(|plugin| plugin.hash == hash);
        if known.is_some_and(|(_, error)| error.is_some() || loaded || !used) {
            return Ok(());
        }
        if loaded {
            self.newest.insert(name.to_owned(), (hash, None));
            return Ok(());
        }
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.files.read_again(path)?,
        };
        let error = match compiler.check(name, bytes.into(), bounds) {
            Ok(plugin) => {
                if used {
                    tracing::info!(plugin = name, hash, size = plugin.size(), "plugin loaded");
                    let before = self.plugins.insert(name.to_owned(), Arc::new(plugin));
                    if let Some(before) = before.filter(|before| !before.health.is_out()) {
                        self.earlier.insert(name.to_owned(), (before, self.signatures.get(name).cloned()));
                    }
                }
                None
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(plugin = name, error, "plugin refused");
                Some(error)
            }
        };
        self.newest.insert(name.to_owned(), (hash, error));
        Ok(())
    }

    /// Files that the configuration names: their contents count as much as its own.
    fn referenced(&mut self, document: &Document, config: &Config, loaded: &mut Loaded, hashes: &mut Vec<String>) {
        for path in named_files(config) {
            let path = document.folder.join(path);
            let hash = self.files.read(&path).map_or_else(|error| error.to_string(), |(hash, _)| hash);
            hashes.push(format!("{}={hash}", path.display()));
            loaded.files.insert(path);
        }
    }
}

const QUARANTINED: &str = "is in quarantine";
const DOCUMENT_READS_MAX: u32 = 40;
const STILL: std::time::Duration = std::time::Duration::from_millis(20);

/// The signatures that lie beside a plugin's file, if there are any.
fn signatures_beside(path: &Path) -> std::io::Result<Option<String>> {
    let path = path.with_extension("wasm.sig");
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(SIGNATURES_BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Bytes of a file of signatures; the rest is not read.
const SIGNATURES_BYTES_MAX: u64 = 16 << 10;

fn wasm_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "wasm")
    });
    files.sort();
    files
}

fn named_files(config: &Config) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        files.extend(tls.client_ca.clone());
        files.extend(tls.certificates.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
    }
    for upstream in config.upstreams.values() {
        files.extend(upstream.tls.ca.clone());
        files.extend(upstream.tls.client_certificate.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]));
    }
    for secret in config.secrets.values() {
        if let SecretConfig::File(path) = secret {
            files.insert(path.clone());
        }
    }
    for verifier in config.verifiers.values() {
        if let KeySource::JwksFile(path) | KeySource::PemFile(path) = &verifier.keys {
            files.insert(path.clone());
        }
    }
    files
}
