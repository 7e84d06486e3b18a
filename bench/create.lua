-- One message per request. Whatever is not a 201 counts as an error in wrk's summary.
wrk.method = "POST"
wrk.body = '{"phoneNumber":"+905551234567","content":"Your code is 123456, valid for ten minutes."}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["x-ins-auth-key"] = "messages-key-of-the-bench"
