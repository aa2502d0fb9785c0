//! The contract as Rust, generated from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "full-policy",
    imports: { default: trappable },
    with: {
        "gatewright:policy/types.exchange": super::handles::ExchangeHandle,
        "gatewright:policy/types.fields": super::handles::FieldsHandle,
        "gatewright:policy/types.body": super::handles::BodyHandle,
        "gatewright:policy/types.reply": super::handles::ReplyHandle,
        "gatewright:policy/kv.store": super::handles::StoreHandle,
        "gatewright:policy/secrets.secret": super::handles::SecretHandle,
    },
});
