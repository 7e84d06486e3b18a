#include "stream.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "api_thread.h"
#include "feed.h"
#include "http_internal.h"
#include "render_feed.h"
#include "render.h"
#include "request.h"

#define HEARTBEAT (15 * USEC_PER_SEC)
#define END_TIMEOUT USEC_PER_SEC /* to take what is on its way when all end */
#define BLOCK 4096        /* bytes that libmicrohttpd asks for at a time */
#define TEXT_MAX_AHEAD 8192 /* no more events are rendered while so much is unsent */

struct stream {
	struct stream *next, *prev;
	struct request *r;
	struct feed_reader reader;
	struct buf text; /* rendered */
	size_t sent;     /* of it */
	usec_t spoke_at; /* when something was last said */
	bool over;       /* ends when all is sent */
};

/* --- what is said ------------------------------------------------------------------------------------- */

static struct json_out event_begin(struct stream *s, const char *name, uint64_t seq)
{
	char id[FEED_ID_TEXT];
	struct json_out j;

	if (seq)
		buf_addf(&s->text, "id: %s\n", feed_id_format(s->r->http->o.feed, seq, id));
	buf_addf(&s->text, "event: %s\ndata: ", name);
	j = json_begin(&s->text);
	json_open_object(&j);
	return j;
}

static void event_end(struct stream *s, struct json_out *j)
{
	json_end(j);
	buf_addlit(&s->text, "\n\n");
}

static bool sees(const struct stream *s, enum access group)
{
	return s->r->sees & 1U << group;
}

static void say_hello(struct stream *s)
{
	const struct http *h = s->r->http;
	struct json_out j = event_begin(s, "hello", 0);

	json_kv_str(&j, "node", h->o.node_id);
	json_kv_str(&j, "version", h->o.version);
	json_kv_str(&j, "role", h->o.role);
	json_kv_time(&j, "time", clock_wall());
	json_key(&j, "sees");
	json_open_array(&j);
	if (sees(s, ACCESS_MESSAGES))
		json_str(&j, "messages");
	if (sees(s, ACCESS_SCHEDULER))
		json_str(&j, "scheduler");
	json_end(&j);
	event_end(s, &j);
}

static void say_reset(struct stream *s)
{
	struct json_out j = event_begin(s, "reset", 0);

	json_kv_str(&j, "reason", "unknown id");
	event_end(s, &j);
}

static void say_attempt(struct stream *s, const struct feed_event *e)
{
	struct json_out j = event_begin(s, "attempt", e->seq);

	render_feed_attempt(&j, e, s->r->http->o.node_id, s->r->http->o.ids, sees(s, ACCESS_MESSAGES));
	event_end(s, &j);
}

static void say_run(struct stream *s, const struct feed_event *e)
{
	struct json_out j = event_begin(s, "run", e->seq);

	json_kv_int(&j, "id", e->run.run);
	json_kv_str(&j, "phase", e->kind == FEED_RUN_BEGUN ? "begun" : "ended");
	json_kv_int(&j, "claimed", e->run.claimed);
	if (e->kind == FEED_RUN_ENDED) {
		json_kv_int(&j, "sent", e->run.sent);
		json_kv_int(&j, "failed", e->run.failed);
		json_kv_int(&j, "retried", e->run.retried);
		json_kv_int(&j, "consecutiveAllFailCount", e->run.all_failed_in_a_row);
	}
	json_kv_str(&j, "node", s->r->http->o.node_id);
	json_kv_time(&j, "at", e->at);
	event_end(s, &j);
}

static void say_alert(struct stream *s, const struct feed_event *e)
{
	struct json_out j = event_begin(s, "alert", e->seq);

	render_feed_alert(&j, e);
	event_end(s, &j);
}

static void say_scheduler(struct stream *s, const struct feed_event *e)
{
	char id[FEED_ID_TEXT];
	struct json_out j;

	if (e->seq)
		buf_addf(&s->text, "id: %s\n", feed_id_format(s->r->http->o.feed, e->seq, id));
	buf_addlit(&s->text, "event: scheduler\ndata: ");
	j = json_begin(&s->text);
	render_scheduler(&j, &e->scheduler.s, e->scheduler.backlog);
	buf_addlit(&s->text, "\n\n");
}

static void say_counts(struct stream *s, const struct feed_counts *c)
{
	struct json_out j = event_begin(s, "counts", 0);

	render_feed_counts(&j, c);
	event_end(s, &j);
}

static void say_event(struct stream *s, const struct feed_event *e)
{
	if (e->kind != FEED_ATTEMPT && !sees(s, ACCESS_SCHEDULER))
		return;
	switch (e->kind) {
	case FEED_ATTEMPT:
		say_attempt(s, e);
		return;
	case FEED_RUN_BEGUN:
	case FEED_RUN_ENDED:
		say_run(s, e);
		return;
	case FEED_ALERT:
		say_alert(s, e);
		return;
	case FEED_SCHEDULER:
		say_scheduler(s, e);
		return;
	}
}

/* Renders what the feed has, up to a bound. */
static void fill(struct stream *s)
{
	struct feed_item item;

	buf_clear(&s->text);
	s->sent = 0;
	while (s->text.len < TEXT_MAX_AHEAD) {
		switch (feed_read(s->r->http->o.feed, &s->reader, &item)) {
		case FEED_NOTHING:
			return;
		case FEED_OVERTAKEN:
			s->over = true;
			return;
		case FEED_EVENT:
		case FEED_STATE:
			say_event(s, &item.event);
			break;
		case FEED_COUNTS:
			say_counts(s, &item.counts);
			break;
		}
	}
}

/* --- how it is sent ----------------------------------------------------------------------------------- */

static ssize_t read_stream(void *cls, uint64_t pos, char *out, size_t max)
{
	struct stream *s = cls;
	struct connection *c = s->r->conn;
	const usec_t now = clock_mono();
	size_t n;

	(void)pos;
	if (s->sent == s->text.len && !s->over)
		fill(s);
	if (s->sent == s->text.len && (s->over || atomic_load(&s->r->http->stopping)))
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (s->sent == s->text.len && now - s->spoke_at >= HEARTBEAT)
		buf_addlit(&s->text, ":\n\n");
	if (s->sent == s->text.len) {
		/* Nothing to say, so nothing that the client could be slow at taking. */
		c->deadline = USEC_NEVER;
		s->r->suspended = true;
		MHD_suspend_connection(c->mhd);
		return 0;
	}
	n = MIN_OF(max, s->text.len - s->sent);
	memcpy(out, s->text.data + s->sent, n);
	s->sent += n;
	s->spoke_at = now;
	c->deadline = now + WRITE_TIMEOUT;
	return (ssize_t)n;
}

struct MHD_Response *stream_response(struct stream *s)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, s, NULL);

	/* The client is told to close, since that is the way that streams end. */
	s->r->answer.close = true;
	return response;
}

bool stream_open(struct request *r)
{
	struct api_thread *t = r->thread;
	const size_t id_len = strlen(r->headers.last_event_id);
	struct stream *s = xcalloc(1, sizeof(*s));
	bool known, reset, room;
	struct feed_id last;

	if (!t->streams) {
		/* Nobody has looked since the last one closed. */
		atomic_store(&t->streams_due, false);
		feed_woken(r->http->o.feed, &t->stream_waker);
	}
	known = id_len && feed_id_parse(r->headers.last_event_id, id_len, &last);
	room = feed_reader_add(r->http->o.feed, &s->reader, &t->stream_waker, known ? &last : NULL, &reset);
	if (!room) {
		free(s);
		return false;
	}
	s->r = r;
	s->spoke_at = clock_mono();
	buf_init(&s->text);
	s->next = t->streams;
	if (s->next)
		s->next->prev = s;
	t->streams = s;
	say_hello(s);
	if (reset || (id_len && !known))
		say_reset(s);
	r->stream = s;
	return true;
}

void stream_close(struct request *r)
{
	struct stream *s = r->stream;

	feed_reader_remove(r->http->o.feed, &s->reader);
	if (s->prev)
		s->prev->next = s->next;
	else
		r->thread->streams = s->next;
	if (s->next)
		s->next->prev = s->prev;
	buf_release(&s->text);
	free(s);
	r->stream = NULL;
}

/* --- all of a thread ---------------------------------------------------------------------------------- */

/* With the feed locked, on the thread of whoever told it something. */
static void wake(void *arg)
{
	struct api_thread *t = arg;

	atomic_store(&t->streams_due, true);
	api_thread_wake(t);
}

void streams_init(struct api_thread *t)
{
	t->stream_waker = (struct feed_waker){.wake = wake, .arg = t};
}

static void resume(struct stream *s)
{
	if (!s->r->suspended)
		return;
	s->r->suspended = false;
	MHD_resume_connection(s->r->conn->mhd);
}

void streams_run(struct api_thread *t, usec_t now)
{
	const bool due = t->streams && atomic_exchange(&t->streams_due, false);

	if (due)
		feed_woken(t->http->o.feed, &t->stream_waker);
	for (struct stream *s = t->streams; s; s = s->next)
		if (due || now - s->spoke_at >= HEARTBEAT)
			resume(s);
}

void streams_end(struct api_thread *t)
{
	for (struct stream *s = t->streams; s; s = s->next) {
		s->over = true;
		s->r->conn->deadline = MIN_OF(s->r->conn->deadline, clock_mono() + END_TIMEOUT);
		resume(s);
	}
}
