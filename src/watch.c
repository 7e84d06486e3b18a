#include "watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc.h"
#include "dispatch.h"
#include "feed.h"
#include "store.h"
#include "thread.h"

#define WATCHED_EVERY USEC_PER_SEC
#define UNWATCHED_EVERY (5 * USEC_PER_SEC)
/* Someone who starts and stops the scheduler all the time shall not keep the store busy, too. */
#define AT_MOST_EVERY (20 * USEC_PER_MSEC)

struct watch {
	struct watch_options o;
	struct store_session *session;
	pthread_t thread;
	atomic_bool stopping;
};

/* That the store is away is said by those who need it for more. */
static void look(struct watch *w)
{
	struct store_counts counts;
	struct scheduler scheduler;
	uint32_t in_flight = w->o.dispatch ? (uint32_t)dispatch_in_flight(w->o.dispatch) : 0;

	if (store_counts(w->session, &counts, NULL) != OK)
		return;
	if (store_scheduler_get(w->session, &scheduler, NULL) == OK)
		feed_seen(w->o.feed, &counts, &scheduler, in_flight);
	else
		feed_seen(w->o.feed, &counts, NULL, in_flight);
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;

	while (!atomic_load(&w->stopping)) {
		look(w);
		usleep(AT_MOST_EVERY);
		feed_wait(w->o.feed, feed_is_read(w->o.feed) ? WATCHED_EVERY : UNWATCHED_EVERY);
	}
	return NULL;
}

int watch_start(struct watch **ret, const struct watch_options *o, struct error *err)
{
	struct watch *w = xcalloc(1, sizeof(*w));
	int rc;

	w->o = *o;
	rc = store_session_open(o->store, &w->session, err);
	if (!rc) {
		rc = thread_start(&w->thread, "watch", watch_main, w, err);
		if (rc)
			store_session_close(w->session);
	}
	if (rc)
		free(w);
	else
		*ret = w;
	return rc;
}

void watch_stop(struct watch *w)
{
	if (!w)
		return;
	atomic_store(&w->stopping, true);
	feed_stop_waiting(w->o.feed);
	thread_join(w->thread);
	store_session_close(w->session);
	free(w);
}
