//! Client certificates: which are good, which routes they open, and who is told of them.

use harness::{Authority, Gateway, Identity, Origin, Wire, eventually, guest};
use tempfile::TempDir;

use super::{ask, gateway_with_tls};
use crate::configuration::check_in;

/// A folder with the authority of the clients, `people.pem`.
fn folder_of(people: &Authority) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.pem"), people.pem()).unwrap();
    folder
}

#[test]
fn a_revoked_certificate_is_refused_from_the_moment_its_list_changes() {
    let people = Authority::new("people");
    let (alice, mallory) = (people.sign(&["alice"]), people.sign(&["mallory"]));
    let origin = Origin::ok();
    let folder = folder_of(&people);
    let list = folder.path().join("people.crl");
    std::fs::write(&list, people.revoke(&[&mallory])).unwrap();
    let more = "client_ca: people.pem\n      client_crl: people.crl\n      client_auth: require";
    let (gateway, authority) = gateway_with_tls(&origin, more, "", folder);
    let ask = |identity: &Identity| ask(&gateway, "a.test", &authority, Some(identity));
    assert_eq!((ask(&alice), ask(&mallory)), (200, 0));

    std::fs::write(&list, people.revoke(&[&mallory, &alice])).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    assert_eq!((ask(&alice), ask(&mallory)), (0, 0));

    // What is no list leaves the last good one.
    std::fs::write(&list, "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 422);
    assert_eq!(ask(&alice), 0);

    std::fs::write(&list, people.revoke(&[])).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    assert_eq!((ask(&alice), ask(&mallory)), (200, 200));

    for closed in [people.revoke_expired(&[]), Authority::new("others").revoke(&[])] {
        std::fs::write(&list, closed).unwrap();
        assert_eq!(gateway.admin_post("/reload").status, 200);
        assert_eq!(ask(&alice), 0);
    }
}

#[test]
fn what_cannot_revoke_is_a_fault_with_its_line() {
    let (people, servers) = (Authority::new("people"), Authority::new("servers"));
    for (tls, list, message) in [
        ("client_ca: people.pem, client_auth: require, client_crl: list.crl", "nonsense", "has no revocation list"),
        ("client_ca: people.pem, client_auth: require, client_crl: gone.crl", "", "gone.crl: "),
        ("client_crl: list.crl", "", "client_crl needs client_auth"),
        ("client_auth: require, client_crl: list.crl", "", "client_auth needs client_ca"),
    ] {
        let folder = folder_of(&people);
        servers.sign(&["a.test"]).write(folder.path(), "a");
        std::fs::write(folder.path().join("list.crl"), list).unwrap();
        let (output, text) = check_in(
            folder.path(),
            &format!(
                "listeners:\n  - address: 127.0.0.1:0\n    tls: {{ certificates: [{{ cert: a.crt, key: a.key }}], {tls} }}\n\
                 upstreams: {{ api: {{ endpoints: [{{ url: \"http://127.0.0.1:1\" }}] }} }}\n\
                 routes: [{{ name: all, upstream: api }}]\n"
            ),
        );
        assert!(
            !output.status.success() && text.contains("gateway.yaml:3:") && text.contains(message),
            "{tls}: {text}"
        );
    }
}

/// The status and reason of one request under TLS.
fn reply(gateway: &Gateway, authority: &Authority, identity: Option<&Identity>, head: &str) -> (u16, String) {
    let (mut wire, _) =
        Wire::connect_tls(gateway.address(), "a.test", authority.client(identity, &["http/1.1"])).unwrap();
    wire.send(format!("{head}\r\nHost: a.test\r\nConnection: close\r\n\r\n"));
    let reply = wire.reply();
    (reply.status, reply.reason().map_or_else(|| reply.text(), str::to_owned))
}

#[test]
fn a_route_is_served_to_those_whose_certificate_has_its_names() {
    let people = Authority::new("people");
    let origin = Origin::ok();
    let routes = [
        ("any", "{}"),
        ("dns", "{ dns: [api.test, \"*.robots.test\"] }"),
        ("uri", "{ uri: [\"spiffe://prod.test/ns/a\"] }"),
        ("spiffe", "{ spiffe: [prod.test] }"),
        ("email", "{ email: [al@a.test] }"),
    ];
    let routes: String = routes
        .iter()
        .map(|(name, wanted)| {
            format!(
                "  - {{ name: {name}, match: {{ path: {{ prefix: /{name} }} }}, upstream: origin, \
                 client_certificate: {wanted} }}\n"
            )
        })
        .collect();
    let more = "client_ca: people.pem\n      client_auth: optional";
    let (gateway, authority) = super::gateway_with_routes(&origin, more, "", folder_of(&people), &routes);
    let spiffe = "spiffe://prod.test/ns/a";
    let cases: [(&str, Identity, &[&str]); 9] = [
        ("api", people.sign_names("x", &["API.test"], &[], &[]), &["any", "dns"]),
        ("a robot", people.sign_names("x", &["r2.robots.test"], &[], &[]), &["any", "dns"]),
        ("all robots", people.sign_names("x", &["robots.test", "robots.test.evil.test"], &[], &[]), &["any"]),
        ("a name in the subject", people.sign_names("api.test", &[], &[], &[]), &["any"]),
        ("a NUL", people.sign_names("x", &["api.test\0.evil.test"], &["spiffe://prod.test/ns/a\0"], &[]), &["any"]),
        ("a workload", people.sign_names("x", &[], &[spiffe], &[]), &["any", "uri", "spiffe"]),
        ("two workloads", people.sign_names("x", &[], &[spiffe, "spiffe://b.test/b"], &[]), &["any", "uri"]),
        ("a neighbour", people.sign_names("x", &[], &["spiffe://prod.test.evil.test/ns/a"], &[]), &["any"]),
        ("a person", people.sign_names("x", &[], &[], &["al@A.test"]), &["any", "email"]),
    ];
    let refused = (403, "client-certificate-refused".to_owned());
    let get = |route: &str| format!("GET /{route} HTTP/1.1");
    for (name, identity, open) in &cases {
        for route in ["any", "dns", "uri", "spiffe", "email"] {
            let expected = if open.contains(&route) { (200, "ok".to_owned()) } else { refused.clone() };
            assert_eq!(reply(&gateway, &authority, Some(identity), &get(route)), expected, "{name}, route {route}");
        }
    }
    drop(origin.take());
    for route in ["any", "dns", "uri", "spiffe", "email"] {
        let required = (403, "client-certificate-required".to_owned());
        assert_eq!(reply(&gateway, &authority, None, &get(route)), required, "{route}");
    }
    assert!(origin.take().bytes.is_empty());
}

#[test]
fn a_route_that_no_client_can_reach_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (output, text) = check_in(
        folder.path(),
        "listeners: [{ address: 127.0.0.1:0 }]\nupstreams: { api: { endpoints: [{ url: \"http://127.0.0.1:1\" }] } }\n\
         routes:\n  - { name: all, upstream: api, client_certificate: { spiffe: [Prod.test] } }\n",
    );
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("gateway.yaml:4:") && text.contains("no listener asks for a client certificate"), "{text}");
    assert!(text.contains("\"Prod.test\" is no trust domain"), "{text}");
}

#[test]
fn policies_are_told_of_the_certificate() {
    let people = Authority::new("people");
    let origin = Origin::ok();
    let folder = folder_of(&people);
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/caller.wasm"), guest("caller")).unwrap();
    let more = "client_ca: people.pem\n      client_auth: optional";
    let policies = "plugins: { folder: plugins }\n\
                    policies: { caller: { plugin: caller, grants: { http: [origin], secrets: [], kv: [news], limits: true }, \
                    limits: { deadline: 2s } } }\nkv: { news: {} }";
    let routes = "  - { name: all, policies: [caller], upstream: origin }\n";
    let (gateway, authority) = super::gateway_with_routes(&origin, more, policies, folder, routes);
    let uris = ["spiffe://prod.test/a", "urn:a b", "urn:\r\nc"];
    let bob = people.sign_names("Bob, \"Jr\"", &["bob.test", "b\n.test", "b2.test"], &uris[..1], &["b@b.test"]);
    let two = people.sign_names("x", &[], &uris, &[]);
    let property = |identity: Option<&Identity>, name: &str| {
        let (status, text) =
            reply(&gateway, &authority, identity, &format!("GET / HTTP/1.1\r\nX-Do: property tls.peer-{name}"));
        assert_eq!(status, 200, "{name}: {text}");
        text
    };
    for (name, expected) in [
        ("san-dns", "bob.test b2.test"),
        ("san-uri", "spiffe://prod.test/a"),
        ("san-email", "b@b.test"),
        ("spiffe-id", "spiffe://prod.test/a"),
        ("distinguished-name", "CN=Bob\\, \\\"Jr\\\""),
    ] {
        assert_eq!(property(Some(&bob), name), expected, "{name}");
        assert_eq!(property(None, name), "none", "{name}");
    }
    assert_eq!(property(Some(&bob), "fingerprint"), bob.fingerprint());
    assert_eq!((property(Some(&two), "san-uri"), property(Some(&two), "spiffe-id")), (uris[0].into(), "none".into()));
}

#[test]
fn upstreams_are_told_of_the_certificate_where_the_operator_says_so() {
    let people = Authority::new("people");
    let hostile = people.sign_names("a\";URI=b,Hash=c", &["d,e"], &["urn:x,;=\"\r\nHash: y"], &[]);
    for (forward, trusted) in [(false, false), (false, true), (true, false), (true, true)] {
        let origin = Origin::ok();
        let more = format!("client_ca: people.pem\n      client_auth: optional\n    forward_client_cert: {forward}");
        let top = if trusted { "trusted_proxies: [127.0.0.0/8]" } else { "" };
        let (gateway, authority) = gateway_with_tls(&origin, &more, top, folder_of(&people));
        let theirs = "GET / HTTP/1.1\r\nX-Forwarded-Client-Cert: Hash=1\r\nx-forwarded-client-cert: Hash=2";
        for identity in [Some(&hostile), None] {
            assert_eq!(reply(&gateway, &authority, identity, theirs).0, 200);
            let seen = origin.take();
            let told = seen.requests.first().unwrap().values("x-forwarded-client-cert").join("|");
            let ours = format!(
                "Hash={};Subject=CN%3Da%5C%22%5C%3BURI%3Db%5C%2CHash%3Dc;URI=urn:x%2C%3B%3D%22%0D%0AHash:%20y;DNS=d%2Ce",
                hostile.fingerprint()
            );
            let expected = match (forward, trusted, identity) {
                (false, ..) | (true, false, None) => String::new(),
                (true, true, None) => "Hash=1, Hash=2".to_owned(),
                (true, false, Some(_)) => ours,
                (true, true, Some(_)) => format!("Hash=1, Hash=2,{ours}"),
            };
            assert_eq!(told, expected, "forward {forward}, trusted {trusted}, {}", identity.is_some());
        }
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_the_next_connection_and_the_open_one_stays() {
    let origin = Origin::ok();
    let (gateway, authority) = gateway_with_tls(&origin, "", "", tempfile::tempdir().unwrap());
    let connect = || Wire::connect_tls(gateway.address(), "a.test", authority.client(None, &["http/1.1"]));
    let mut wire = connect().unwrap().0;
    let get = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let successor = Authority::new("successors");
    for round in 0..3 {
        wire.send(get);
        assert_eq!(wire.reply().status, 200, "{round}");
        let renewed = if round == 1 { successor.sign(&["a.test"]) } else { authority.sign(&["a.test"]) };
        renewed.write(gateway.folder(), "a.test");
        let trusts = if round == 1 { &successor } else { &authority };
        eventually("the new certificate", || (ask(&gateway, "a.test", trusts, None) == 200).then_some(()));
        wire.send(get);
        assert_eq!(wire.reply().status, 200, "{round}");
    }
}
