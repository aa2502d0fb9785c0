//! The contract as Rust, generated from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "full-policy",
    // A policy that imports none of these is called without a stack of its own.
    imports: {
        "gatewright:policy/http.[method]outbound.send": async | trappable,
        "gatewright:policy/http.[method]pending.wait": async | trappable,
        default: trappable,
    },
    with: {
        "gatewright:policy/types.exchange": super::handles::ExchangeHandle,
        "gatewright:policy/types.fields": super::handles::FieldsHandle,
        "gatewright:policy/types.body": super::handles::BodyHandle,
        "gatewright:policy/types.reply": super::handles::ReplyHandle,
        "gatewright:policy/http.outbound": super::handles::OutboundHandle,
        "gatewright:policy/http.pending": super::handles::PendingHandle,
        "gatewright:policy/http.response": super::handles::ResponseHandle,
        "gatewright:policy/kv.store": super::handles::StoreHandle,
        "gatewright:policy/secrets.secret": super::handles::SecretHandle,
    },
});
