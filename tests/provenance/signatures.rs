//! Pins and signatures: what the operator does not accept does not serve, and what served before goes on.

use std::path::Path;

use harness::{Gateway, Origin, eventually};
use tempfile::TempDir;

use super::{check, config, plugin_status, run, sha256, stamped, version};

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    drop_in(folder.path(), 1);
    folder
}

fn drop_in(folder: &Path, number: u32) {
    std::fs::write(folder.join("plugins/.stamp"), version(number)).unwrap();
    std::fs::rename(folder.join("plugins/.stamp"), folder.join("plugins/stamp.wasm")).unwrap();
}

/// A new key in a file, and its public half.
fn key(folder: &Path, name: &str) -> String {
    let (output, text) = run(folder, &["keygen", name]);
    assert!(output.status.success(), "{text}");
    text.trim().to_owned()
}

fn sign(folder: &Path, key: &str) {
    let (output, text) = run(folder, &["sign", "--key", key, "plugins/stamp.wasm"]);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&sha256(&std::fs::read(folder.join("plugins/stamp.wasm")).unwrap())), "{text}");
}

#[test]
fn a_file_that_is_not_the_pinned_one_is_refused_with_both_digests() {
    let origin = Origin::ok();
    let folder = folder();
    let [first, second] = [1, 2].map(|number| sha256(&version(number)));
    let pinned = |digest: &str| config(&origin, &format!("pins: {{ stamp: \"sha256:{digest}\" }}"));
    assert_eq!(check(folder.path(), &pinned(&first)), Ok(()));
    let text = check(folder.path(), &pinned(&second)).unwrap_err();
    assert!(text.contains(&first) && text.contains(&second), "{text}");
    for wrong in ["sha256:abc", &first, &format!("sha512:{first}")] {
        let text = check(folder.path(), &config(&origin, &format!("pins: {{ stamp: {wrong:?} }}"))).unwrap_err();
        assert!(text.contains("checked.yaml:"), "{text}");
    }
    let gateway = Gateway::start_in(folder, &pinned(&first));
    let serving = stamped(&gateway);
    drop_in(gateway.folder(), 2);
    let status = eventually("the refusal", || {
        let status = plugin_status(&gateway);
        status["last_error"].as_str().is_some_and(|error| error.contains("pins")).then_some(status)
    });
    let error = status["last_error"].as_str().unwrap();
    assert!(error.contains(&first) && error.contains(&second), "{error}");
    assert_eq!((status["hash"].as_str(), status["refused_hash"].as_str()), (Some(&*first), Some(&*second)));
    assert_eq!(stamped(&gateway), serving);
    // The pin follows, and the file that lies there already serves.
    let yaml = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&yaml).unwrap();
    std::fs::write(&yaml, text.replace(&first, &second)).unwrap();
    eventually("the second version", || (stamped(&gateway) != serving).then_some(()));
    eventually("no more fault", || plugin_status(&gateway)["last_error"].is_null().then_some(()));
}

#[test]
fn only_a_plugin_that_a_trusted_key_signed_serves_where_signatures_are_required() {
    let origin = Origin::ok();
    let folder = folder();
    let at = folder.path();
    let [ours, theirs] = ["ours.pem", "theirs.pem"].map(|name| key(at, name));
    let required = |keys: &str| config(&origin, &format!("trusted_keys: [{keys}], require_signature: true"));
    let good = required(&format!("{ours:?}"));
    assert!(check(at, &good).unwrap_err().contains("is not signed"), "no signature");
    sign(at, "theirs.pem");
    let text = check(at, &good).unwrap_err();
    assert!(text.contains("no trusted key") && text.contains(&theirs), "{text}");
    sign(at, "ours.pem");
    assert_eq!(check(at, &good), Ok(()));
    assert_eq!(check(at, &required(&format!("{theirs:?}, {ours:?}"))), Ok(()));
    assert!(check(at, &required("")).unwrap_err().contains("trusted_keys"), "no key");
    assert!(check(at, &required("\"ed25519:AAAA\"")).unwrap_err().contains("checked.yaml:"), "no key either");
    // The signature is for one file: another file beside it is refused, required or not.
    drop_in(at, 2);
    let broken = format!("its signature by {ours} does not verify");
    assert!(check(at, &good).unwrap_err().contains(&broken));
    assert!(check(at, &config(&origin, &format!("trusted_keys: [{ours:?}]"))).unwrap_err().contains(&broken));
    // Nobody asked for signatures: those that are there say nothing.
    assert_eq!(check(at, &config(&origin, "pins: {}")), Ok(()));
    std::fs::write(at.join("plugins/stamp.wasm.sig"), "nonsense").unwrap();
    assert!(check(at, &good).unwrap_err().contains("KEY SIGNATURE"));
}

#[test]
fn a_signed_plugin_is_replaced_only_by_a_signed_one() {
    let origin = Origin::ok();
    let folder = folder();
    let public = key(folder.path(), "key.pem");
    sign(folder.path(), "key.pem");
    let gateway =
        Gateway::start_in(folder, &config(&origin, &format!("trusted_keys: [{public:?}], require_signature: true")));
    let serving = stamped(&gateway);
    drop_in(gateway.folder(), 2);
    eventually("the refusal", || {
        let status = plugin_status(&gateway);
        status["last_error"].as_str()?.contains("does not verify").then_some(())
    });
    assert_eq!(stamped(&gateway), serving, "the last good one serves on");
    sign(gateway.folder(), "key.pem");
    eventually("the second version", || (stamped(&gateway) != serving).then_some(()));
    // Without the key that it was accepted by, not even what serves may come into a new configuration.
    let other = key(gateway.folder(), "other.pem");
    let yaml = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&yaml).unwrap();
    std::fs::write(&yaml, text.replace(&public, &other)).unwrap();
    let reply = gateway.admin_post("/reload");
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.text().contains("no trusted key"), "{}", reply.text());
    assert_ne!(stamped(&gateway), serving);
}

#[test]
fn a_key_is_made_once_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let public = key(folder.path(), "key.pem");
    assert!(public.starts_with("ed25519:"), "{public}");
    let file = folder.path().join("key.pem");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&file).unwrap();
    let (output, text) = run(folder.path(), &["keygen", "key.pem"]);
    assert!(!output.status.success() && text.contains("key.pem"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    std::fs::write(&file, "no key").unwrap();
    let (output, text) = run(folder.path(), &["sign", "--key", "key.pem", "key.pem"]);
    assert!(!output.status.success() && text.contains("no PEM"), "{text}");
}
