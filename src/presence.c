/*
 * A thread of its own, since it is there in every role and must not keep anyone waiting. It has a second
 * use: on a node that nobody asks for anything, it is what finds a lost database again.
 */
#include "presence.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "log.h"
#include "text.h"
#include "thread.h"

struct presence {
	struct presence_options o;
	char boot[NODE_BOOT_MAX + 1];
	struct store_session *session;
	bool away; /* since the last report */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t told;
	bool stopping; /* under the lock */
};

static void report(struct presence *p, bool leaving)
{
	struct node_report r = {
		.node = p->o.node_id,
		.boot = p->boot,
		.version = p->o.version,
		.role = p->o.role,
		.leaving = leaving,
	};
	struct error err = ERROR_INIT;

	if (p->o.dispatch)
		r.in_flight = (uint32_t)dispatch_in_flight(p->o.dispatch);
	if (store_node_seen(p->session, &r, &err) == OK) {
		p->away = false;
		return;
	}
	if (!p->away)
		log_warn("this node is not seen by the others for now", kv_str("kind", error_name(err.code)),
		         kv_str("error", err.text));
	p->away = true;
}

static void *presence_main(void *arg)
{
	struct presence *p = arg;
	struct timespec until;

	pthread_mutex_lock(&p->lock);
	while (!p->stopping) {
		pthread_mutex_unlock(&p->lock);
		report(p, false);
		pthread_mutex_lock(&p->lock);
		if (p->stopping)
			break;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += NODE_REPORT_EVERY / USEC_PER_SEC;
		pthread_cond_timedwait(&p->told, &p->lock, &until);
	}
	pthread_mutex_unlock(&p->lock);
	if (!p->away)
		report(p, true);
	return NULL;
}

static void presence_free(struct presence *p)
{
	store_session_close(p->session);
	pthread_cond_destroy(&p->told);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int presence_start(struct presence **ret, const struct presence_options *o, struct error *err)
{
	struct presence *p = xcalloc(1, sizeof(*p));
	pthread_condattr_t attr;
	unsigned char random[6];
	int rc;

	p->o = *o;
	if (o->dispatch) {
		snprintf(p->boot, sizeof(p->boot), "%s", dispatch_boot(o->dispatch));
	} else {
		random_bytes(random, sizeof(random));
		hex_encode(random, sizeof(random), p->boot);
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->told, &attr);
	pthread_condattr_destroy(&attr);
	rc = store_session_open(o->store, &p->session, err);
	if (!rc)
		rc = thread_start(&p->thread, "presence", presence_main, p, err);
	if (rc)
		presence_free(p);
	else
		*ret = p;
	return rc;
}

void presence_stop(struct presence *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_signal(&p->told);
	pthread_mutex_unlock(&p->lock);
	thread_join(p->thread);
	presence_free(p);
}
