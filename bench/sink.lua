-- What herald sends to the receiver, sent by wrk.
wrk.method = "POST"
wrk.body = '{"to":"+905551234567","content":"Your code is 123456, valid for ten minutes."}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Idempotency-Key"] = "0123456789abcdef-1234567"
