#!/bin/sh
# What `make run` prints: the requests to try.
cat <<'TEXT'

Gatewright listens on http://127.0.0.1:8080, for the operator on http://127.0.0.1:9901. Try, in another terminal:

  1. allowed (the key is alice's; the mock answers what it received):
       curl -i -H 'authorization: Bearer alice-key' http://127.0.0.1:8080/echo/hello

  2. refused, 401 with a reason code:
       curl -i http://127.0.0.1:8080/echo/hello

  3. an OpenAI request, answered by an upstream that speaks Anthropic, streamed:
       curl -N -H 'authorization: Bearer alice-key' -H 'content-type: application/json' \
         -d '{"model":"fast","stream":true,"messages":[{"role":"user","content":"hello there"}]}' \
         http://127.0.0.1:8080/v1/chat/completions

Change gatewright.yaml, or change policies/key-auth/src and run policies/build.sh key-auth: the next answer follows.

TEXT
