#include "metrics.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"

enum family_type { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM, FAMILY_CALLBACK };

/* Bucket i counts observations above bounds[i-1] and up to bounds[i], the last one all above; summing
 * them up is left to whoever renders, so that an observation touches two words. */
struct metric_histogram {
	bool in_seconds;
	size_t n; /* bounds; there is one bucket more */
	int64_t *bounds;
	_Atomic uint64_t *counts;
	_Atomic int64_t sum;
};

struct series {
	struct series *next;
	char *labels;
	union {
		metric_counter counter;
		metric_gauge gauge;
		struct metric_histogram histogram;
		struct {
			void (*fn)(struct buf *out, void *arg);
			void *arg;
		} callback;
	};
};

struct family {
	struct family *next;
	enum family_type type;
	const char *type_name; /* in the exposition; a callback may be a counter or a gauge */
	char *name, *help;
	struct series *series, **tail;
};

/* Series are only ever added, at the end, under the lock; their values are atomics that need none. */
struct metrics {
	pthread_mutex_t lock;
	struct family *families, **tail;
};

struct metrics *metrics_new(void)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	m->tail = &m->families;
	return m;
}

static void series_free(struct series *s, enum family_type type)
{
	if (type == FAMILY_HISTOGRAM) {
		free(s->histogram.bounds);
		free(s->histogram.counts);
	}
	free(s->labels);
	free(s);
}

void metrics_free(struct metrics *m)
{
	struct family *f;
	struct series *s;

	if (!m)
		return;
	while ((f = m->families)) {
		m->families = f->next;
		while ((s = f->series)) {
			f->series = s->next;
			series_free(s, f->type);
		}
		free(f->name);
		free(f->help);
		free(f);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct family *family_locked(struct metrics *m, enum family_type type, const char *type_name,
                                    const char *name, const char *help)
{
	struct family *f;

	for (f = m->families; f; f = f->next)
		if (strcmp(f->name, name) == 0) {
			if (f->type != type || strcmp(f->type_name, type_name) != 0)
				panic("metric %s is a %s and a %s", name, f->type_name, type_name);
			return f;
		}
	f = xcalloc(1, sizeof(*f));
	f->type = type;
	f->type_name = type_name;
	f->name = xstrdup(name);
	f->help = xstrdup(help);
	f->tail = &f->series;
	*m->tail = f;
	m->tail = &f->next;
	return f;
}

static struct series *series_append(struct family *f, const char *labels)
{
	struct series *s = xcalloc(1, sizeof(*s));

	s->labels = xstrdup(labels);
	*f->tail = s;
	f->tail = &s->next;
	return s;
}

static struct series *series_find(const struct family *f, const char *labels)
{
	struct series *s;

	for (s = f->series; s; s = s->next)
		if (strcmp(s->labels, labels) == 0)
			break;
	return s;
}

static struct series *number_series(struct metrics *m, enum family_type type, const char *type_name,
                                    const char *name, const char *help, const char *labels)
{
	struct family *f;
	struct series *s;

	pthread_mutex_lock(&m->lock);
	f = family_locked(m, type, type_name, name, help);
	s = series_find(f, labels);
	if (!s)
		s = series_append(f, labels);
	pthread_mutex_unlock(&m->lock);
	return s;
}

metric_counter *metrics_counter(struct metrics *m, const char *name, const char *help, const char *labels)
{
	return &number_series(m, FAMILY_COUNTER, "counter", name, help, labels)->counter;
}

metric_gauge *metrics_gauge(struct metrics *m, const char *name, const char *help, const char *labels)
{
	return &number_series(m, FAMILY_GAUGE, "gauge", name, help, labels)->gauge;
}

static void histogram_init(struct metric_histogram *h, bool in_seconds, const int64_t *bounds, size_t n)
{
	h->in_seconds = in_seconds;
	h->n = n;
	h->bounds = xreallocarray(NULL, n, sizeof(*h->bounds));
	memcpy(h->bounds, bounds, n * sizeof(*bounds));
	h->counts = xcalloc(n + 1, sizeof(*h->counts));
}

static bool histogram_equal(const struct metric_histogram *h, bool in_seconds, const int64_t *bounds,
                            size_t n)
{
	return h->in_seconds == in_seconds && h->n == n && memcmp(h->bounds, bounds, n * sizeof(*bounds)) == 0;
}

static struct metric_histogram *histogram(struct metrics *m, const char *name, const char *help,
                                          const char *labels, bool in_seconds, const int64_t *bounds,
                                          size_t n)
{
	struct family *f;
	struct series *s;

	if (n == 0 || bounds[0] < 0)
		panic("metric %s has no bounds, or negative ones", name);
	for (size_t i = 1; i < n; i++)
		if (bounds[i - 1] >= bounds[i])
			panic("metric %s has bounds out of order", name);

	pthread_mutex_lock(&m->lock);
	f = family_locked(m, FAMILY_HISTOGRAM, "histogram", name, help);
	/* Sums over series of one family mean nothing unless all have the same buckets. */
	if (f->series && !histogram_equal(&f->series->histogram, in_seconds, bounds, n))
		panic("metric %s has two sets of bounds", name);
	s = series_find(f, labels);
	if (!s) {
		s = series_append(f, labels);
		histogram_init(&s->histogram, in_seconds, bounds, n);
	}
	pthread_mutex_unlock(&m->lock);
	return &s->histogram;
}

struct metric_histogram *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                           const char *labels, const usec_t *bounds, size_t n)
{
	return histogram(m, name, help, labels, true, bounds, n);
}

struct metric_histogram *metrics_size_histogram(struct metrics *m, const char *name, const char *help,
                                                const char *labels, const int64_t *bounds, size_t n)
{
	return histogram(m, name, help, labels, false, bounds, n);
}

void metric_observe(struct metric_histogram *h, usec_t value)
{
	size_t i = 0;

	value = MAX_OF(value, 0);
	while (i < h->n && value > h->bounds[i])
		i++;
	atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&h->sum, value, memory_order_relaxed);
}

void metrics_callback(struct metrics *m, const char *name, const char *help, const char *type,
                      void (*fn)(struct buf *out, void *arg), void *arg)
{
	const char *type_name = strcmp(type, "counter") == 0 ? "counter" : "gauge";
	struct series *s;

	pthread_mutex_lock(&m->lock);
	s = series_append(family_locked(m, FAMILY_CALLBACK, type_name, name, help), "");
	s->callback.fn = fn;
	s->callback.arg = arg;
	pthread_mutex_unlock(&m->lock);
}

/* "name_suffix{labels,le="` up to the value of le; with no le (NULL) up to the sample's value. */
static void add_sample_name(struct buf *out, const char *name, const char *suffix, const char *labels,
                            bool with_le)
{
	buf_addstr(out, name);
	buf_addstr(out, suffix);
	if (*labels || with_le)
		buf_addch(out, '{');
	buf_addstr(out, labels);
	if (with_le)
		buf_addstr(out, *labels ? ",le=\"" : "le=\"");
	else if (*labels)
		buf_addlit(out, "} ");
	else
		buf_addch(out, ' ');
}

/* Microseconds (>= 0) as seconds, exactly and without a locale: 1500000 is 1.5. */
static void add_quantity(struct buf *out, int64_t v, bool in_seconds)
{
	int64_t rest, digit = USEC_PER_SEC / 10;

	if (!in_seconds) {
		buf_addi64(out, v);
		return;
	}
	buf_addi64(out, v / USEC_PER_SEC);
	rest = v % USEC_PER_SEC;
	if (rest)
		buf_addch(out, '.');
	for (; rest; rest %= digit, digit /= 10)
		buf_addch(out, (char)('0' + rest / digit));
}

static void render_histogram(struct buf *out, const char *name, struct series *s)
{
	struct metric_histogram *h = &s->histogram;
	uint64_t total = 0;

	for (size_t i = 0; i <= h->n; i++) {
		total += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
		add_sample_name(out, name, "_bucket", s->labels, true);
		if (i < h->n)
			add_quantity(out, h->bounds[i], h->in_seconds);
		else
			buf_addlit(out, "+Inf");
		buf_addlit(out, "\"} ");
		buf_addu64(out, total);
		buf_addch(out, '\n');
	}
	add_sample_name(out, name, "_sum", s->labels, false);
	add_quantity(out, atomic_load_explicit(&h->sum, memory_order_relaxed), h->in_seconds);
	buf_addch(out, '\n');
	/* The sum of the buckets, and no counter of its own: _count must equal the +Inf bucket. */
	add_sample_name(out, name, "_count", s->labels, false);
	buf_addu64(out, total);
	buf_addch(out, '\n');
}

static void render_series(struct buf *out, const struct family *f, struct series *s)
{
	switch (f->type) {
	case FAMILY_COUNTER:
		add_sample_name(out, f->name, "", s->labels, false);
		buf_addu64(out, atomic_load_explicit(&s->counter, memory_order_relaxed));
		buf_addch(out, '\n');
		break;
	case FAMILY_GAUGE:
		add_sample_name(out, f->name, "", s->labels, false);
		buf_addi64(out, atomic_load_explicit(&s->gauge, memory_order_relaxed));
		buf_addch(out, '\n');
		break;
	case FAMILY_HISTOGRAM:
		render_histogram(out, f->name, s);
		break;
	case FAMILY_CALLBACK:
		s->callback.fn(out, s->callback.arg);
		break;
	}
}

static void add_help(struct buf *out, const char *help)
{
	for (; *help; help++) {
		if (*help == '\\')
			buf_addlit(out, "\\\\");
		else if (*help == '\n')
			buf_addlit(out, "\\n");
		else
			buf_addch(out, *help);
	}
}

void metrics_render(struct metrics *m, struct buf *out)
{
	const struct family *f;
	struct series *s;

	pthread_mutex_lock(&m->lock);
	for (f = m->families; f; f = f->next) {
		buf_addlit(out, "# HELP ");
		buf_addstr(out, f->name);
		buf_addch(out, ' ');
		add_help(out, f->help);
		buf_addlit(out, "\n# TYPE ");
		buf_addstr(out, f->name);
		buf_addch(out, ' ');
		buf_addstr(out, f->type_name);
		buf_addch(out, '\n');
		for (s = f->series; s; s = s->next)
			render_series(out, f, s);
	}
	pthread_mutex_unlock(&m->lock);
}
