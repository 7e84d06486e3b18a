#include "request.h"

#include "api_thread.h"

#define KEEP_BYTES (16 * 1024)

void request_init(struct request *r)
{
	*r = (struct request){.target = BUF_INIT, .body = BUF_INIT};
	answer_init(&r->answer);
}

void request_clear(struct request *r)
{
	struct request old = *r;

	json_decref(old.doc);
	if (old.body.cap > KEEP_BYTES)
		buf_release(&old.body);
	else
		buf_clear(&old.body);
	buf_clear(&old.target);
	answer_clear(&old.answer);
	if (old.arena.used > KEEP_BYTES)
		arena_release(&old.arena);
	else
		arena_clear(&old.arena);
	*r = (struct request){
		.target = old.target, .body = old.body, .answer = old.answer, .arena = old.arena};
}

void request_release(struct request *r)
{
	json_decref(r->doc);
	buf_release(&r->target);
	buf_release(&r->body);
	answer_release(&r->answer);
	arena_release(&r->arena);
}

void request_answered(struct request *r)
{
	api_thread_take_back(r->thread, r);
}
