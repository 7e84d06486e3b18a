#include "alert.h"

#include <stdlib.h>

#include "alloc.h"
#include "buf.h"
#include "json_out.h"
#include "log.h"
#include "metrics.h"
#include "transport.h"

#define WAITING_MAX 8
#define TRIES_MAX 3
#define TIMEOUT (10 * USEC_PER_SEC)
static const usec_t pause_after[TRIES_MAX] = {USEC_PER_SEC, 5 * USEC_PER_SEC, 0};

struct alerter {
	struct transport *wire;
	void (*sent)(void *arg, const struct alert *alert);
	void *arg;
	metric_counter *sent_n, *failed_n;

	struct alert waiting[WAITING_MAX]; /* the first one is being sent */
	size_t n;
	int tries;     /* of the first one */
	bool out;      /* its request is in flight */
	usec_t try_at; /* else: when it may start */
	struct buf body;
	char key[64];
};

static void done(void *arg, const struct transport_result *r)
{
	struct alerter *a = arg;
	struct alert *first = &a->waiting[0];
	bool accepted = r->end == ATTEMPT_ANSWERED && r->status >= 200 && r->status <= 299;

	a->out = false;
	if (!accepted && a->tries < TRIES_MAX) {
		a->try_at = clock_mono() + pause_after[a->tries - 1];
		return;
	}
	if (accepted) {
		metric_inc(a->sent_n);
		log_info("alert sent", kv_int("run", first->run), kv_int("status", r->status));
		a->sent(a->arg, first);
	} else {
		metric_inc(a->failed_n);
		log_error("alert not delivered", kv_int("run", first->run), kv_int("tries", a->tries),
		          kv_int("status", r->status), kv_str("error", r->error));
	}
	a->n--;
	memmove(&a->waiting[0], &a->waiting[1], a->n * sizeof(a->waiting[0]));
	a->tries = 0;
	a->try_at = 0;
}

int alerter_open(struct alerter **ret, const struct alerter_options *options, struct error *err)
{
	struct alerter *a = xcalloc(1, sizeof(*a));
	struct transport_options to = {
		.url = options->url,
		.timeout = TIMEOUT,
		.max_concurrent = 1,
		.max_body = 1024,
		.max_header_bytes = 16384,
		.user_agent = "herald/" HERALD_VERSION,
		.ca_file = options->ca_file,
		.done = done,
		.arg = a,
	};
	int rc = transport_open(&a->wire, &to, err);

	if (rc) {
		free(a);
		return error_prefix(err, "alert webhook");
	}
	a->sent = options->sent;
	a->arg = options->arg;
	a->sent_n = metrics_counter(options->metrics, "herald_alerts_total", "Alerts by result.",
	                            "result=\"sent\"");
	a->failed_n = metrics_counter(options->metrics, "herald_alerts_total", "Alerts by result.",
	                              "result=\"failed\"");
	buf_init(&a->body);
	*ret = a;
	return OK;
}

void alerter_close(struct alerter *a)
{
	if (!a)
		return;
	transport_close(a->wire);
	buf_release(&a->body);
	free(a);
}

void alerter_raise(struct alerter *a, const struct alert *alert)
{
	if (a->n == WAITING_MAX) {
		metric_inc(a->failed_n);
		log_error("alert dropped: too many wait", kv_int("run", alert->run));
		return;
	}
	a->waiting[a->n++] = *alert;
}

static void compose(struct alerter *a, const struct alert *alert)
{
	struct json_out j;
	char text[128];

	if (alert->gone)
		snprintf(text, sizeof(text),
		         "The webhook answered 410 Gone in run %lld; the scheduler was stopped",
		         (long long)alert->run);
	else
		snprintf(text, sizeof(text), "Every message failed in the last %u runs", alert->failures);

	buf_clear(&a->body);
	j = json_begin(&a->body);
	json_open_object(&j);
	json_kv_str(&j, "alert", "consecutive_all_fail");
	json_kv_int(&j, "runNumber", alert->run);
	json_kv_int(&j, "consecutiveFailures", alert->failures);
	json_kv_int(&j, "messagesInBatch", alert->messages);
	json_kv_time(&j, "timestamp", alert->at);
	json_kv_str(&j, "message", text);
	json_end(&j);
	snprintf(a->key, sizeof(a->key), "alert-%lld-%s", (long long)alert->run, alert->gone ? "gone" : "failed");
}

void alerter_run(struct alerter *a, usec_t now, bool readable)
{
	if (readable || transport_timeout(a->wire) <= 0)
		transport_run(a->wire);
	if (a->n && !a->out && now >= a->try_at) {
		struct transport_request r = {.key = a->key};

		compose(a, &a->waiting[0]);
		r.body = a->body.data;
		r.body_len = a->body.len;
		a->tries++;
		a->out = true; /* before: `done` may run inside */
		if (!transport_start(a->wire, &r))
			a->out = false;
	}
}

int alerter_fd(const struct alerter *a)
{
	return transport_fd(a->wire);
}

usec_t alerter_next(const struct alerter *a, usec_t now)
{
	usec_t wait;

	if (a->n && !a->out)
		return a->try_at;
	/* Idle connections, too, want to be looked after. */
	wait = transport_timeout(a->wire);
	return wait == USEC_NEVER ? USEC_NEVER : now + wait;
}
