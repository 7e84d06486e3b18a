#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "attr.h"
#include "text.h"

#define BAR_MAX 30

void progress_number(struct buf *out, uint64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf_addch(out, ',');
		buf_addch(out, digits[i]);
	}
}

static int terminal_width(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
		return size.ws_col;
	return 80;
}

void progress_begin(struct progress *p, FILE *out, const char *verb, const char *unit, uint64_t total,
                    usec_t now)
{
	*p = (struct progress){.out = out, .verb = verb, .unit = unit, .total = total, .start = now};
	if (out) {
		p->terminal = isatty(fileno(out)) != 0;
		p->width = terminal_width(fileno(out));
	}
	p->next = now + (p->terminal ? PROGRESS_REDRAW : PROGRESS_LINE);
}

static void add_amount(struct buf *out, const struct progress *p, uint64_t n, bool with_unit)
{
	if (text_equal(p->unit, "bytes")) {
		buf_addf(out, "%.1f", (double)n / 1e6);
		if (with_unit)
			buf_addlit(out, " MB");
	} else {
		progress_number(out, n);
		if (with_unit)
			buf_addf(out, " %s", p->unit);
	}
}

static void add_duration(struct buf *out, uint64_t seconds)
{
	unsigned h = (unsigned)(seconds / 3600), m = (unsigned)(seconds / 60 % 60), s = (unsigned)(seconds % 60);

	if (h)
		buf_addf(out, "%u:%02u:%02u", h, m, s);
	else
		buf_addf(out, "%u:%02u", m, s);
}

void progress_render(const struct progress *p, uint64_t done, usec_t now, struct buf *out)
{
	struct buf tail = BUF_INIT;
	usec_t elapsed = now - p->start;
	uint64_t rate = elapsed > 0 ? (uint64_t)((double)done * 1e6 / (double)elapsed) : 0;
	double part = p->total ? MIN_OF(1.0, (double)done / (double)p->total) : 0;
	int bar, full;

	add_amount(&tail, p, done, !p->total);
	if (p->total) {
		buf_addlit(&tail, " / ");
		add_amount(&tail, p, p->total, true);
	}
	if (rate) {
		buf_addlit(&tail, "  ");
		add_amount(&tail, p, rate, true);
		buf_addlit(&tail, "/s");
		if (done < p->total) {
			buf_addlit(&tail, "  ETA ");
			add_duration(&tail, (p->total - done) / rate);
		}
	}
	buf_addf(out, "%s ", p->verb);
	if (p->total) {
		buf_addf(out, "%3d%% ", (int)(part * 100));
		bar = p->width - 1 - (int)(out->len + tail.len) - 3;
		bar = MIN_OF(bar, BAR_MAX);
		if (p->terminal && bar >= 5) {
			full = (int)(part * bar);
			buf_addch(out, '[');
			for (int i = 0; i < bar; i++)
				buf_addch(out, i < full ? '#' : '-');
			buf_addlit(out, "] ");
		}
	}
	buf_add(out, tail.data, tail.len);
	/* A line that wraps cannot be redrawn. */
	if (p->terminal && out->len > (size_t)p->width - 1)
		buf_truncate(out, (size_t)p->width - 1);
	buf_release(&tail);
}

void progress_update(struct progress *p, uint64_t done, usec_t now)
{
	struct buf line = BUF_INIT;

	if (!p->out || now < p->next)
		return;
	p->next = now + (p->terminal ? PROGRESS_REDRAW : PROGRESS_LINE);
	progress_render(p, done, now, &line);
	if (p->terminal)
		fprintf(p->out, "\r%s\033[K", line.data);
	else
		fprintf(p->out, "%s\n", line.data);
	fflush(p->out);
	p->drawn = true;
	buf_release(&line);
}

void progress_hide(struct progress *p)
{
	if (p->out && p->terminal && p->drawn) {
		fputs("\r\033[K", p->out);
		fflush(p->out);
	}
	p->drawn = false;
}
