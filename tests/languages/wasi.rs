//! Policies that import WASI 0.2, and so may wait: called on a stack of their own, in an empty world.

use harness::{Client, Gateway, Origin, Protocol, example, guest_for_wasi};

use super::{check, check_policy, config, folder_with};

#[test]
fn rust_for_wasi_does_the_same_as_without() {
    if let Some(policy) = guest_for_wasi("conformance") {
        check_policy("rust for WASI", &policy);
    }
}

#[test]
fn javascript_with_wasi_does_the_same_and_knows_the_time() {
    let Some(policy) = example("javascript-wasi") else { return };
    check_policy("javascript with WASI", &policy);

    let origin = Origin::ok();
    let config = config(&origin.url());
    let folder = folder_with(&policy, &config);
    let (output, text) = check(&folder);
    assert!(output.status.success(), "{text}");
    let gateway = Gateway::start_in(folder, &config);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let mut before = 0;
    for _ in 0..3 {
        assert_eq!(client.get("/", &[("x-case", "wasi")]).status, 200);
        let recording = origin.take();
        let [request] = recording.requests.as_slice() else { panic!("{recording:?}") };
        let now: u128 = request.values("x-now").concat().parse().unwrap();
        let wall = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        // Not the time of the build, nor that of `configure`.
        assert!(now > before && now <= wall && wall - now < 5_000, "{now} {wall}");
        before = now - 1;
    }
}
