//! Plugins from OCI image layouts and registries: by digest, whole, and of the right kind, or not at all.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use harness::{Conversation, Gateway, Origin};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{check, config, plugin_status, run, sha256, stamped, version};

/// An image as somebody made it, and the digest of its manifest.
struct Image {
    manifest: Vec<u8>,
    layer: Vec<u8>,
}

impl Image {
    /// The image of a version, changed somehow. No two runs make the same, so that none finds it in a cache.
    fn of(number: u32, change: impl FnOnce(&mut Value)) -> Self {
        let layer = version(number);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.wasm.config.v0+json",
                "digest": format!("sha256:{}", sha256(b"{}")), "size": 2,
            },
            "layers": [{
                "mediaType": "application/wasm", "digest": format!("sha256:{}", sha256(&layer)), "size": layer.len(),
            }],
            "annotations": { "made": format!("{:?}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap()) },
        });
        change(&mut manifest);
        Self { manifest: manifest.to_string().into_bytes(), layer }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", sha256(&self.manifest))
    }

    /// Writes it as a layout.
    fn lay_out(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        for bytes in [&self.manifest, &self.layer] {
            std::fs::write(blobs.join(sha256(bytes)), bytes).unwrap();
        }
    }

    /// What a registry answers at its paths.
    fn paths(&self) -> BTreeMap<String, Vec<u8>> {
        let manifest = (format!("/v2/team/stamp/manifests/{}", self.digest()), self.manifest.clone());
        let layer = (format!("/v2/team/stamp/blobs/sha256:{}", sha256(&self.layer)), self.layer.clone());
        BTreeMap::from([manifest, layer])
    }
}

/// A change of a manifest, and what is said of it.
type Kind = (fn(&mut Value), &'static str);

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    folder
}

fn layout(digest: &str) -> String {
    format!("sources: {{ stamp: {{ layout: {{ path: image, digest: {digest:?} }} }} }}")
}

fn registry(address: &str, digest: &str) -> String {
    let source =
        format!("image: \"{address}/team/stamp\", digest: {digest:?}, insecure: true, username: u, password: p");
    format!("sources: {{ stamp: {{ registry: {{ {source} }} }} }}")
}

/// The path that a request asks for.
fn path(line: &str) -> String {
    line.split(' ').nth(1).unwrap().to_owned()
}

fn answer(conversation: &mut Conversation, status: &str, headers: &str, body: &[u8]) {
    conversation.send(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()));
    conversation.send(body);
}

/// A registry without locks that answers at these paths.
fn open_registry(paths: BTreeMap<String, Vec<u8>>) -> Origin {
    Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            match paths.get(&path(&request.line)) {
                Some(body) => answer(conversation, "200 OK", "", body),
                None => answer(conversation, "404 Not Found", "", b"{}"),
            }
        }
    })
}

#[test]
fn a_plugin_comes_from_an_image_layout() {
    let origin = Origin::ok();
    let folder = folder();
    let image = Image::of(3, |_| {});
    image.lay_out(&folder.path().join("image"));
    let gateway = Gateway::start_in(folder, &config(&origin, &layout(&image.digest())));
    assert_eq!(stamped(&gateway), "stamp-version-000003/l");
    assert_eq!(plugin_status(&gateway)["hash"], sha256(&image.layer));
    // Another version is another digest; a wrong one leaves what serves.
    let next = Image::of(4, |_| {});
    let yaml = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&yaml).unwrap();
    std::fs::write(&yaml, text.replace(&image.digest(), &next.digest())).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 422);
    assert_eq!(stamped(&gateway), "stamp-version-000003/l");
    next.lay_out(&gateway.folder().join("image"));
    let reply = gateway.admin_post("/reload");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(stamped(&gateway), "stamp-version-000004/l");
}

#[test]
fn an_image_that_is_not_what_it_should_be_is_refused() {
    let origin = Origin::ok();
    let folder = folder();
    let at = folder.path().join("image");
    let refused = |image: &Image| check(folder.path(), &config(&origin, &layout(&image.digest()))).unwrap_err();
    let kinds: [Kind; 8] = [
        (|image| image["mediaType"] = json!("application/vnd.oci.image.index.v1+json"), "name the digest of an image"),
        (
            |image| image["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json"),
            "its configuration is",
        ),
        (|image| image["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar"), "its layer is"),
        (|image| image["layers"] = json!([]), "has 0 layers"),
        (|image| image["layers"][0]["size"] = json!(65u64 << 20), "is larger than 64 MiB"),
        (|image| image["layers"][0]["size"] = json!(10), "is larger than 10 bytes"),
        (|image| image["layers"][0]["digest"] = json!("sha256:../../x"), "is no digest"),
        (|image| *image = json!([1]), "is none of an OCI image"),
    ];
    for (change, said) in kinds {
        let image = Image::of(5, change);
        image.lay_out(&at);
        let text = refused(&image);
        assert!(text.contains(said) && text.contains("checked.yaml:"), "{said} is not in:\n{text}");
    }
    let image = Image::of(5, |_| {});
    image.lay_out(&at);
    let layer = at.join("blobs/sha256").join(sha256(&image.layer));
    let half = image.layer.len() / 2;
    std::fs::write(&layer, image.layer.get(..half).unwrap()).unwrap();
    assert!(refused(&image).contains(&format!("is {half} bytes long")), "truncated");
    let mut forged = image.layer.clone();
    *forged.last_mut().unwrap() ^= 1;
    std::fs::write(&layer, &forged).unwrap();
    assert!(refused(&image).contains(&format!("sha256:{}, not sha256:", sha256(&forged))), "forged");
    std::fs::write(&layer, &image.layer).unwrap();
    assert_eq!(check(folder.path(), &config(&origin, &layout(&image.digest()))), Ok(()));
    std::fs::write(folder.path().join("plugins/stamp.wasm"), &image.layer).unwrap();
    assert!(refused(&image).contains("in the drop folder and in `plugins.sources`"), "twice");
    std::fs::remove_file(folder.path().join("plugins/stamp.wasm")).unwrap();
    std::fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion": "2.0.0"}"#).unwrap();
    assert!(refused(&image).contains("no OCI image layout"), "of another version");
}

#[test]
fn a_plugin_comes_from_a_registry_that_wants_a_token_and_keeps_blobs_elsewhere() {
    let origin = Origin::ok();
    let image = Image::of(6, |_| {});
    let store = open_registry(BTreeMap::from([("/kept".to_owned(), image.layer.clone())]));
    let (paths, elsewhere) = (Arc::new(image.paths()), format!("location: {}/kept\r\n", store.url()));
    let own = Arc::new(std::sync::OnceLock::<String>::new());
    let told = Arc::clone(&own);
    let locked = Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            let path = path(&request.line);
            let authorization = request.values("authorization");
            if let Some(query) = path.strip_prefix("/token?") {
                assert_eq!(query, "service=reg&scope=repository%3Ateam%2Fstamp%3Apull");
                assert_eq!(authorization, ["Basic dTpw"]);
                answer(conversation, "200 OK", "", br#"{"token": "t0ken"}"#);
            } else if authorization != ["Bearer t0ken"] {
                let realm = format!("Bearer realm=\"{}/token\",service=\"reg\"", told.wait());
                let challenge = format!("www-authenticate: {realm},scope=\"repository:team/stamp:pull\"\r\n");
                answer(conversation, "401 Unauthorized", &challenge, b"{}");
            } else if path.contains("/blobs/") {
                answer(conversation, "307 Temporary Redirect", &elsewhere, b"");
            } else {
                answer(conversation, "200 OK", "", &paths[&path]);
            }
        }
    });
    own.set(locked.url()).unwrap();
    let text = config(&origin, &registry(&locked.address.to_string(), &image.digest()));
    let gateway = Gateway::start_in(folder(), &text);
    assert_eq!(stamped(&gateway), "stamp-version-000006/l");
    let elsewhere = store.take();
    let [request] = elsewhere.requests.as_slice() else { panic!("{elsewhere:?}") };
    assert!(request.values("authorization").is_empty(), "only the registry is told who asks");
    let asked: Vec<String> = locked.take().requests.iter().map(|request| path(&request.line)).collect();
    let manifest = format!("/v2/team/stamp/manifests/{}", image.digest());
    assert_eq!(asked.iter().filter(|path| **path == manifest).count(), 2, "{asked:?}");
    // The registry is gone; what serves goes on, and a new start finds what was pulled.
    drop((locked, store));
    let yaml = gateway.folder().join("gateway.yaml");
    let other = Image::of(7, |_| {});
    std::fs::write(&yaml, std::fs::read_to_string(&yaml).unwrap().replace(&image.digest(), &other.digest())).unwrap();
    let reply = gateway.admin_post("/reload");
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(reply.text().contains("pull "), "{}", reply.text());
    assert_eq!(stamped(&gateway), "stamp-version-000006/l");
    drop(gateway);
    let again = Gateway::start_in(folder(), &text);
    assert_eq!(stamped(&again), "stamp-version-000006/l");
}

#[test]
fn what_a_registry_answers_wrongly_is_refused() {
    let origin = Origin::ok();
    let folder = folder();
    let refused =
        |address: &str, digest: &str| check(folder.path(), &config(&origin, &registry(address, digest))).unwrap_err();
    let image = Image::of(8, |_| {});
    let layer = format!("/v2/team/stamp/blobs/sha256:{}", sha256(&image.layer));
    let manifest = format!("/v2/team/stamp/manifests/{}", image.digest());
    let changed = |path: &str, bytes: Option<Vec<u8>>| {
        let mut paths = image.paths();
        paths.remove(path);
        paths.extend(bytes.map(|bytes| (path.to_owned(), bytes)));
        open_registry(paths)
    };
    let half = image.layer.get(..image.layer.len() / 2).unwrap().to_vec();
    let long = [&image.layer[..], b"more"].concat();
    let mut forged = image.layer.clone();
    *forged.last_mut().unwrap() ^= 1;
    for (path, bytes, said) in [
        (&manifest, None, "answered 404"),
        (&manifest, Some(Image::of(8, |_| {}).manifest), "the manifest: has the digest"),
        (&manifest, Some(vec![b' '; 2 << 20]), "is larger than 1048576 bytes"),
        (&layer, None, "answered 404"),
        (&layer, Some(half), "bytes long, and the manifest says"),
        (&layer, Some(long), "is larger than"),
        (&layer, Some(forged), "the layer: has the digest"),
    ] {
        let registry = changed(path, bytes);
        let text = refused(&registry.address.to_string(), &image.digest());
        assert!(text.contains(said) && text.contains("checked.yaml:"), "{said} is not in:\n{text}");
    }
    let around = Origin::answering("HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n");
    assert!(refused(&around.address.to_string(), &image.digest()).contains("redirects"), "in a circle");
    let away = Origin::answering("HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/x\r\ncontent-length: 0\r\n\r\n");
    assert!(refused(&away.address.to_string(), &image.digest()).contains("is not https"), "to clear text");
    assert!(refused("192.0.2.1:80", &image.digest()).contains("is not https"), "clear text beyond loopback");
    assert!(refused("127.0.0.1:1", &image.digest()).contains("pull 127.0.0.1:1/team/stamp@sha256:"), "nobody there");
    let good = open_registry(image.paths());
    let text = config(&origin, &registry(&good.address.to_string(), &image.digest()));
    assert_eq!(check(folder.path(), &text), Ok(()));
    let secure = text.replace("insecure: true, ", "");
    std::fs::remove_dir_all(folder.path().join("cache")).unwrap();
    assert!(check(folder.path(), &secure).unwrap_err().contains("pull "), "clear text where TLS is expected");
}

#[test]
fn an_image_carries_its_signatures() {
    let origin = Origin::ok();
    let folder = folder();
    let (output, public) = run(folder.path(), &["keygen", "key.pem"]);
    assert!(output.status.success(), "{public}");
    let plain = Image::of(9, |_| {});
    std::fs::write(folder.path().join("file.wasm"), &plain.layer).unwrap();
    assert!(run(folder.path(), &["sign", "--key", "key.pem", "file.wasm"]).0.status.success());
    let signature = std::fs::read_to_string(folder.path().join("file.wasm.sig")).unwrap();
    let signed = Image::of(9, |image| image["annotations"]["dev.gatewright.signatures"] = json!(signature));
    let said = |image: &Image| {
        image.lay_out(&folder.path().join("image"));
        let trust =
            format!("trusted_keys: [{:?}], require_signature: true, {}", public.trim(), layout(&image.digest()));
        check(folder.path(), &config(&origin, &trust))
    };
    assert!(said(&plain).unwrap_err().contains("is not signed"), "no signature");
    assert_eq!(said(&signed), Ok(()));
    let of_another = Image::of(10, |image| image["annotations"]["dev.gatewright.signatures"] = json!(signature));
    assert!(said(&of_another).unwrap_err().contains("does not verify"), "another file's signature");
}
