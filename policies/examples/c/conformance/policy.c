// Does what the request's header `x-case` says, phase by phase, as its twin in tests/guests/conformance does.
//
// Names are those of the contract, joined by `_`. A function whose WIT result is `result` or `option` returns whether
// it is `ok` or `some`. What the host hands over and what it is handed stays allocated to the end of the call, which
// is the end of the instance: a policy that may be kept warm frees it with the `*_free` functions of the header.

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

typedef conformance_string_t string;
typedef gatewright_policy_types_borrow_exchange_t exchange;
typedef gatewright_policy_types_borrow_body_t body;
typedef gatewright_policy_types_borrow_fields_t fields;
typedef gatewright_policy_types_decision_t decision;
typedef gatewright_policy_types_failure_t failure;

static const char *SCHEMA =
    "{\"type\":\"object\",\"properties\":{\"greeting\":{\"type\":\"string\","
    "\"description\":\"What it says of itself in every answer.\"}},"
    "\"required\":[\"greeting\"],\"additionalProperties\":false}";

static string greeting;

// The bindings refer to an object file with the world in it, to link it in. The gateway adds the world when it loads a
// module that names none, so there is no such file here.
void __component_type_object_force_link_conformance(void) {}

// --- Text -----------------------------------------------------------------------------------------------------------

static string text(const char *literal) {
    return (string){(uint8_t *)literal, strlen(literal)};
}

static bool is(string value, const char *literal) {
    return value.len == strlen(literal) && memcmp(value.ptr, literal, value.len) == 0;
}

#define ARG(value) (int)(value).len, (const char *)(value).ptr

static string format(const char *pattern, ...) {
    va_list arguments;
    va_start(arguments, pattern);
    char *made = NULL;
    int len = vasprintf(&made, pattern, arguments);
    va_end(arguments);
    if (len < 0) abort();
    return (string){(uint8_t *)made, (size_t)len};
}

static const char *said(bool truth) {
    return truth ? "true" : "false";
}

// --- Headers --------------------------------------------------------------------------------------------------------

static fields request_headers(exchange ex) {
    return gatewright_policy_types_borrow_fields(gatewright_policy_types_method_exchange_request_headers(ex));
}

// The one value of a header, `otherwise` if there is none or more than one.
static string header(exchange ex, const char *name, const char *otherwise) {
    string asked = text(name);
    conformance_option_string_t value;
    gatewright_policy_types_header_error_t error;
    bool ok = gatewright_policy_types_method_fields_get(request_headers(ex), &asked, &value, &error);
    return ok && value.is_some ? value.val : text(otherwise);
}

static bool set(fields of, const char *name, string value) {
    string written = text(name);
    gatewright_policy_types_header_error_t error;
    return gatewright_policy_types_method_fields_set(of, &written, &value, &error);
}

static string joined(string all, const char *between, string more) {
    return all.len == 0 ? more : format("%.*s%s%.*s", ARG(all), between, ARG(more));
}

static void headers(exchange ex) {
    fields of = request_headers(ex);
    gatewright_policy_types_header_error_t error = 255;
    conformance_option_string_t value;
    string name = text("x-many");
    bool repeated = !gatewright_policy_types_method_fields_get(of, &name, &value, &error)
        && error == GATEWRIGHT_POLICY_TYPES_HEADER_ERROR_REPEATED;

    conformance_list_list_u8_t values;
    gatewright_policy_types_method_fields_get_all(of, &name, &values);
    string all = text("");
    for (size_t i = 0; i < values.len; i++) all = joined(all, "+", (string){values.ptr[i].ptr, values.ptr[i].len});

    string names[] = {text("x-one"), text("x-none"), text("x-many")};
    conformance_list_string_t asked = {names, 3};
    conformance_list_option_string_t many;
    gatewright_policy_types_method_fields_get_many(of, &asked, &many);
    string found = text("");
    for (size_t i = 0; i < many.len; i++) found = joined(found, "+", many.ptr[i].is_some ? many.ptr[i].val : text("none"));

    conformance_list_tuple2_string_list_u8_t entries;
    gatewright_policy_types_method_fields_entries(of, &entries);
    int count = 0;
    for (size_t i = 0; i < entries.len; i++) count += is(entries.ptr[i].f0, "x-many");

    const char *owned = set(of, "host", text("elsewhere.test")) ? "ok" : "refused";
    string one = header(ex, "x-one", "none");
    string none = header(ex, "x-none", "none");
    set(of, "x-seen", format("%.*s %.*s %s %.*s %.*s %d %s", ARG(one), ARG(none), repeated ? "repeated" : "ok",
        ARG(all), ARG(found), count, owned));
    set(of, "X-Set", greeting);
    string added = text("added");
    gatewright_policy_types_method_fields_append(of, &name, &added, &error);
    string gone = text("x-gone");
    gatewright_policy_types_method_fields_remove(of, &gone, &error);
}

// --- Answers --------------------------------------------------------------------------------------------------------

static bool is_case(exchange ex, const char *name) {
    return is(header(ex, "x-case", ""), name);
}

static bool answer(decision *ret, gatewright_policy_types_own_reply_t reply) {
    ret->tag = GATEWRIGHT_POLICY_TYPES_DECISION_ANSWER;
    ret->val.answer = reply;
    return true;
}

static bool answer_text(decision *ret, uint16_t status, string page) {
    gatewright_policy_types_own_reply_t reply = gatewright_policy_types_constructor_reply(status);
    string type = text("text/plain");
    conformance_list_u8_t bytes = {page.ptr, page.len};
    gatewright_policy_types_method_reply_set_body(gatewright_policy_types_borrow_reply(reply), &type, &bytes);
    return answer(ret, reply);
}

static bool fail(failure *err, const char *code, const char *detail) {
    // The host frees what it is handed, so it is handed copies.
    conformance_string_dup(&err->code, code);
    conformance_string_dup(&err->detail, detail);
    return false;
}

static bool page(exchange ex, decision *ret) {
    string method, scheme, path, id, query = text("");
    gatewright_policy_types_method_exchange_method(ex, &method);
    gatewright_policy_types_method_exchange_scheme(ex, &scheme);
    gatewright_policy_types_method_exchange_path(ex, &path);
    gatewright_policy_types_method_exchange_id(ex, &id);
    gatewright_policy_types_method_exchange_query(ex, &query);
    string name = text("route.name");
    gatewright_policy_types_scalar_t route, unknown;
    gatewright_policy_types_method_exchange_property(ex, &name, &route);
    name = text("no.such");
    bool is_none = !gatewright_policy_types_method_exchange_property(ex, &name, &unknown);
    return answer_text(ret, 200, format("%.*s %.*s %.*s %.*s %.*s %.*s %s %s", ARG(greeting), ARG(method), ARG(scheme),
        ARG(path), ARG(query), ARG(route.val.text), said(is_none), said(id.len > 0)));
}

// --- The exchange ---------------------------------------------------------------------------------------------------

static const char *write_error(bool ok, gatewright_policy_types_write_error_t error) {
    static const char *const names[] = {"invalid", "not-found", "not-granted", "too-large", "too-late"};
    return ok ? "ok" : names[error];
}

static void rewrite(exchange ex) {
    gatewright_policy_types_write_error_t error = 0;
    string method = text("PUT"), path = text("/rewritten"), query = text("a=1");
    string authority = text("rewritten.test"), other = text("other"), elsewhere = text("elsewhere");
    gatewright_policy_types_method_exchange_set_method(ex, &method, &error);
    gatewright_policy_types_method_exchange_set_path(ex, &path, &query, &error);
    gatewright_policy_types_method_exchange_set_authority(ex, &authority, &error);
    gatewright_policy_types_method_exchange_set_upstream(ex, &other, &error);
    bool ok = gatewright_policy_types_method_exchange_set_upstream(ex, &elsewhere, &error);
    set(request_headers(ex), "x-unknown", text(write_error(ok, error)));
}

static void metadata(exchange ex) {
    gatewright_policy_types_write_error_t error = 0;
    gatewright_policy_types_scalar_t number = {.tag = GATEWRIGHT_POLICY_TYPES_SCALAR_NUMBER, .val.number = 1.5};
    gatewright_policy_types_scalar_t truth = {.tag = GATEWRIGHT_POLICY_TYPES_SCALAR_BOOLEAN, .val.boolean = true};
    gatewright_policy_types_scalar_t words = {.tag = GATEWRIGHT_POLICY_TYPES_SCALAR_TEXT, .val.text = text("caf\xc3\xa9")};
    string names[] = {text("conformance.number"), text("conformance.boolean"), text("conformance.text")};
    gatewright_policy_types_method_exchange_put_metadata(ex, &names[0], &number, &error);
    gatewright_policy_types_method_exchange_put_metadata(ex, &names[1], &truth, &error);
    gatewright_policy_types_method_exchange_put_metadata(ex, &names[2], &words, &error);

    gatewright_policy_types_scalar_t read[4] = {0};
    string none = text("conformance.none");
    bool same = gatewright_policy_types_method_exchange_get_metadata(ex, &names[0], &read[0]) && read[0].val.number == 1.5;
    same = same && gatewright_policy_types_method_exchange_get_metadata(ex, &names[1], &read[1]) && read[1].val.boolean;
    same = same && gatewright_policy_types_method_exchange_get_metadata(ex, &names[2], &read[2])
        && is(read[2].val.text, "caf\xc3\xa9");
    same = same && !gatewright_policy_types_method_exchange_get_metadata(ex, &none, &read[3]);

    string foreign = text("auth.principal");
    gatewright_policy_types_scalar_t root = {.tag = GATEWRIGHT_POLICY_TYPES_SCALAR_TEXT, .val.text = text("root")};
    bool ok = gatewright_policy_types_method_exchange_put_metadata(ex, &foreign, &root, &error);
    set(request_headers(ex), "x-metadata", format("%s %s", said(same), write_error(ok, error)));
}

// --- Limits ---------------------------------------------------------------------------------------------------------

typedef bool draw(gatewright_policy_limits_list_charge_t *, gatewright_policy_limits_list_verdict_t *,
    gatewright_policy_limits_limit_error_t *);

// Draws on a bucket of the policy's own with room for `burst` an hour, or on the operator's where that is 0.
static bool charge(exchange ex, draw *how, const char *bucket, uint32_t burst, uint32_t cost,
    gatewright_policy_limits_verdict_t *verdict, gatewright_policy_limits_limit_error_t *error) {
    gatewright_policy_limits_charge_t one = {
        .bucket = text(bucket),
        .limit = {.is_some = burst > 0, .val = {.tokens = burst, .period_ms = 3600000, .burst = burst}},
        .key = header(ex, "x-key", ""),
        .cost = cost,
    };
    gatewright_policy_limits_list_charge_t charges = {&one, 1};
    gatewright_policy_limits_list_verdict_t verdicts;
    if (!how(&charges, &verdicts, error)) return false;
    *verdict = verdicts.ptr[0];
    return true;
}

static bool limit(exchange ex, decision *ret, failure *err) {
    gatewright_policy_limits_verdict_t verdict;
    gatewright_policy_limits_limit_error_t error;
    bool ok;
    if (is_case(ex, "take")) ok = charge(ex, gatewright_policy_limits_take, "requests", 2, 1, &verdict, &error);
    else if (is_case(ex, "reserve")) ok = charge(ex, gatewright_policy_limits_reserve, "tokens", 100, 40, &verdict, &error);
    else ok = charge(ex, gatewright_policy_limits_peek, "tokens", 100, 0, &verdict, &error);
    if (!ok) return fail(err, "limits", "no verdict");
    string words = format("%s %u %u", said(verdict.allowed), (unsigned)verdict.limit, (unsigned)verdict.remaining);
    if (!verdict.allowed)
        return answer_text(ret, 429, format("%.*s %s", ARG(words), said(verdict.retry_after_ms > 0)));
    set(request_headers(ex), "x-limit", words);
    return true;
}

static bool shared(exchange ex, failure *err) {
    gatewright_policy_limits_verdict_t verdict, none;
    gatewright_policy_limits_limit_error_t error = 255;
    if (!charge(ex, gatewright_policy_limits_take, "declared", 0, 1, &verdict, &error))
        return fail(err, "limits", "no verdict");
    bool unknown = !charge(ex, gatewright_policy_limits_take, "undeclared", 0, 1, &none, &error)
        && error == GATEWRIGHT_POLICY_LIMITS_LIMIT_ERROR_UNKNOWN_BUCKET;
    set(request_headers(ex), "x-limit", format("%u %s", (unsigned)verdict.remaining, said(unknown)));
    return true;
}

static string settled(exchange ex) {
    gatewright_policy_limits_limit_error_t error = 255;
    string bucket = text("tokens"), key = header(ex, "x-key", ""), another = text("another");
    bool ok = gatewright_policy_limits_settle(&bucket, &key, 3, &error);
    bool other = !gatewright_policy_limits_settle(&bucket, &another, 3, &error)
        && error == GATEWRIGHT_POLICY_LIMITS_LIMIT_ERROR_NOT_RESERVED;
    return format("%s %s", said(ok), said(other));
}

// --- The life cycle -------------------------------------------------------------------------------------------------

void exports_gatewright_policy_lifecycle_describe(exports_gatewright_policy_lifecycle_descriptor_t *ret) {
    static const char *const attributes[][2] = {{"version", "0.1.0"}, {"summary", "Does what it is told"}};
    conformance_string_dup(&ret->config_schema, SCHEMA);
    ret->attributes.len = 2;
    ret->attributes.ptr = malloc(2 * sizeof *ret->attributes.ptr);
    for (int i = 0; i < 2; i++) {
        conformance_string_dup(&ret->attributes.ptr[i].f0, attributes[i][0]);
        conformance_string_dup(&ret->attributes.ptr[i].f1, attributes[i][1]);
    }
}

// The greeting of a configuration that fits the schema: what is between the third and the fourth quotation mark.
static string greeting_of(const string *config) {
    const uint8_t *marks[4], *at = config->ptr, *end = at + config->len;
    for (int found = 0; found < 4; at++) {
        if (at == end) return text("");
        if (*at == '"') marks[found++] = at;
    }
    return format("%.*s", (int)(marks[3] - marks[2] - 1), (const char *)marks[2] + 1);
}

void exports_gatewright_policy_lifecycle_validate_config(
    string *config, exports_gatewright_policy_lifecycle_list_problem_t *ret) {
    ret->len = greeting_of(config).len == 0;
    ret->ptr = NULL;
    if (ret->len == 0) return;
    ret->ptr = malloc(sizeof *ret->ptr);
    conformance_string_dup(&ret->ptr->at, "/greeting");
    conformance_string_dup(&ret->ptr->message, "is empty: write a word");
}

bool exports_gatewright_policy_lifecycle_configure(string *config, string *err) {
    greeting = greeting_of(config);
    if (!is(greeting, "refuse")) return true;
    conformance_string_dup(err, "told to refuse its settings");
    return false;
}

// --- The phases -----------------------------------------------------------------------------------------------------

bool exports_gatewright_policy_on_request_handle(exchange ex, decision *ret, failure *err) {
    string name = header(ex, "x-case", "");
    ret->tag = GATEWRIGHT_POLICY_TYPES_DECISION_NEXT;
    if (is(name, "headers")) headers(ex);
    if (is(name, "answer")) {
        gatewright_policy_types_own_reply_t reply = gatewright_policy_types_constructor_reply(403);
        gatewright_policy_types_borrow_reply_t made = gatewright_policy_types_borrow_reply(reply);
        string code = text("told-to-refuse"), message = text("refused as told");
        gatewright_policy_types_method_reply_set_error(made, &code, &message);
        set(gatewright_policy_types_borrow_fields(gatewright_policy_types_method_reply_headers(made)), "x-reason", greeting);
        return answer(ret, reply);
    }
    if (is(name, "page")) return page(ex, ret);
    if (is(name, "failure")) return fail(err, "told-to-fail", "detail for the operator");
    if (is(name, "trap")) abort();
    if (is(name, "rewrite")) rewrite(ex);
    if (is(name, "detach")) ret->tag = GATEWRIGHT_POLICY_TYPES_DECISION_DETACH;
    if (is(name, "metadata")) metadata(ex);
    if (is(name, "state")) {
        static uint8_t bytes[] = {0, 1, 254, 255};
        string key = text("bytes");
        conformance_list_u8_t value = {bytes, sizeof bytes};
        gatewright_policy_types_write_error_t error;
        gatewright_policy_types_method_exchange_put_state(ex, &key, &value, &error);
    }
    if (is(name, "take") || is(name, "reserve") || is(name, "peek")) return limit(ex, ret, err);
    if (is(name, "shared")) return shared(ex, err);
    if (is(name, "log")) {
        gatewright_policy_log_attribute_t attribute = {text("key"), text("value")};
        gatewright_policy_log_list_attribute_t attributes = {&attribute, 1};
        string line = text("said as told");
        gatewright_policy_log_emit(GATEWRIGHT_POLICY_LOG_LEVEL_INFO, &line, &attributes);
    }
    if (is(name, "print")) {
        printf("printed %d to standard output\n", 1);
        fprintf(stderr, "printed %d to standard error\n", 2);
    }
    if (is(name, "clock")) {
        double now = gatewright_policy_clock_now();
        bool is_now = now > 1700000000000.0 && now == (double)(int64_t)now;
        double before = gatewright_policy_clock_monotonic();
        bool goes_on = before <= gatewright_policy_clock_monotonic();
        set(request_headers(ex), "x-clock", format("%s %s", said(is_now), said(goes_on)));
    }
    return true;
}

static string body_error(bool ok, gatewright_policy_types_body_error_t error) {
    static const char *const names[] = {"not-json", "bad-patch", "too-large", "encoded"};
    return text(ok ? "ok" : names[error.tag]);
}

bool exports_gatewright_policy_on_request_body_handle(exchange ex, body content, decision *ret, failure *err) {
    (void)err;
    string name = header(ex, "x-case", "");
    fields of = request_headers(ex);
    gatewright_policy_types_body_error_t error;
    conformance_list_option_string_t found;
    ret->tag = GATEWRIGHT_POLICY_TYPES_DECISION_NEXT;
    if (is(name, "json")) {
        string pointers[] = {text("/a/b"), text("/none")};
        conformance_list_string_t asked = {pointers, 2};
        if (!gatewright_policy_types_method_body_json_get(content, &asked, &found, &error))
            return fail(err, "body", "is not JSON");
        string first = found.ptr[0].is_some ? found.ptr[0].val : text("none");
        string second = found.ptr[1].is_some ? found.ptr[1].val : text("none");
        set(of, "x-json", format("%.*s %.*s", ARG(first), ARG(second)));
        string patch = text("[{\"op\":\"replace\",\"path\":\"/a/b\",\"value\":\"patched\"}]");
        gatewright_policy_types_method_body_json_patch(content, &patch, &error);
    }
    if (is(name, "bad-json")) {
        string pointer = text("/a");
        conformance_list_string_t asked = {&pointer, 1};
        bool ok = gatewright_policy_types_method_body_json_get(content, &asked, &found, &error);
        set(of, "x-error", body_error(ok, error));
    }
    if (is(name, "bad-patch")) {
        string patch = text("[{\"op\":\"remove\",\"path\":\"/x\"}]");
        bool ok = gatewright_policy_types_method_body_json_patch(content, &patch, &error);
        set(of, "x-error", body_error(ok, error));
    }
    if (is(name, "replace")) {
        conformance_list_u8_t some;
        gatewright_policy_types_method_body_read(content, 1, 3, &some);
        unsigned len = gatewright_policy_types_method_body_len(content);
        string made = format("%.*s of %u: %.*s", ARG(greeting), len, ARG(some));
        conformance_list_u8_t bytes = {made.ptr, made.len};
        gatewright_policy_types_method_body_replace(content, &bytes, &error);
    }
    return true;
}

bool exports_gatewright_policy_on_response_handle(exchange ex, decision *ret, failure *err) {
    string name = header(ex, "x-case", "");
    gatewright_policy_types_own_fields_t response;
    gatewright_policy_types_write_error_t error = 0;
    ret->tag = GATEWRIGHT_POLICY_TYPES_DECISION_NEXT;
    if (!gatewright_policy_types_method_exchange_response_headers(ex, &response)) return fail(err, "no-response", "");
    fields of = gatewright_policy_types_borrow_fields(response);
    set(of, "x-conformance", greeting);
    if (is(name, "state")) {
        string key = text("bytes"), numbers = text("");
        conformance_list_u8_t value = {0};
        gatewright_policy_types_method_exchange_get_state(ex, &key, &value);
        for (size_t i = 0; i < value.len; i++) numbers = joined(numbers, ",", format("%d", value.ptr[i]));
        set(of, "x-state", numbers);
    }
    if (is(name, "status")) {
        uint16_t status = 0;
        gatewright_policy_types_method_exchange_response_status(ex, &status);
        set(of, "x-was", format("%d", status));
        gatewright_policy_types_method_exchange_set_response_status(ex, 203, &error);
    }
    if (is(name, "late")) {
        string method = text("PUT");
        bool ok = gatewright_policy_types_method_exchange_set_method(ex, &method, &error);
        set(of, "x-late", text(write_error(ok, error)));
    }
    if (is(name, "reserve")) set(of, "x-settled", settled(ex));
    if (is(name, "answer-response")) return answer_text(ret, 418, text("a teapot"));
    return true;
}

bool exports_gatewright_policy_on_response_body_handle(exchange ex, body content, decision *ret, failure *err) {
    (void)err;
    ret->tag = GATEWRIGHT_POLICY_TYPES_DECISION_NEXT;
    if (is_case(ex, "response-body")) {
        conformance_list_u8_t all;
        gatewright_policy_types_body_error_t error;
        gatewright_policy_types_method_body_read(content, 0, gatewright_policy_types_method_body_len(content), &all);
        string made = format("%.*s: %.*s", ARG(greeting), ARG(all));
        conformance_list_u8_t bytes = {made.ptr, made.len};
        gatewright_policy_types_method_body_replace(content, &bytes, &error);
    }
    return true;
}

static exports_gatewright_policy_on_event_event_t event(const char *name, const char *data) {
    exports_gatewright_policy_on_event_event_t made;
    conformance_string_dup(&made.name, name);
    conformance_string_dup(&made.data, data);
    return made;
}

bool exports_gatewright_policy_on_event_handle(exchange ex, exports_gatewright_policy_on_event_list_event_t *events,
    exports_gatewright_policy_on_event_ending_t state, exports_gatewright_policy_on_event_outcome_t *ret, failure *err) {
    string name = header(ex, "x-case", "");
    ret->tag = EXPORTS_GATEWRIGHT_POLICY_ON_EVENT_OUTCOME_PASS;
    if (is(name, "events-detach")) ret->tag = EXPORTS_GATEWRIGHT_POLICY_ON_EVENT_OUTCOME_DETACH;
    if (is(name, "events-failure")) return fail(err, "told-to-fail", "");
    if (!is(name, "events")) return true;
    ret->tag = EXPORTS_GATEWRIGHT_POLICY_ON_EVENT_OUTCOME_SEND;
    exports_gatewright_policy_on_event_list_event_t sent = {malloc((events->len + 1) * sizeof *sent.ptr), 0};
    for (size_t i = 0; i < events->len && ret->tag == EXPORTS_GATEWRIGHT_POLICY_ON_EVENT_OUTCOME_SEND; i++) {
        string data = events->ptr[i].data;
        if (is(data, "swallow")) continue;
        if (is(data, "rename")) sent.ptr[sent.len++] = event("renamed", "rename!");
        else if (is(data, "stop")) {
            sent.ptr[sent.len++] = event("", "stopped");
            ret->tag = EXPORTS_GATEWRIGHT_POLICY_ON_EVENT_OUTCOME_FINISH;
        } else sent.ptr[sent.len++] = events->ptr[i];
    }
    if (ret->tag == EXPORTS_GATEWRIGHT_POLICY_ON_EVENT_OUTCOME_SEND
        && state == EXPORTS_GATEWRIGHT_POLICY_ON_EVENT_ENDING_COMPLETE)
        sent.ptr[sent.len++] = event("", "complete");
    ret->val.send = sent;
    return true;
}

void exports_gatewright_policy_on_log_handle(exchange ex) {
    if (!is_case(ex, "log")) return;
    uint16_t status = 0;
    gatewright_policy_types_method_exchange_response_status(ex, &status);
    gatewright_policy_log_list_attribute_t none = {NULL, 0};
    string line = format("over with %d", status);
    gatewright_policy_log_emit(GATEWRIGHT_POLICY_LOG_LEVEL_INFO, &line, &none);
}
