#include "roff.h"

#include <ctype.h>

void roff_text(struct buf *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '\\':
			buf_addlit(out, "\\e");
			break;
		case '-': /* a hyphen of its own would not be found by those who search for a flag */
			buf_addlit(out, "\\-");
			break;
		case '`':
			buf_addlit(out, "\\(ga");
			break;
		case '\'':
			buf_addlit(out, "\\(aq");
			break;
		case '"':
			buf_addlit(out, "\\(dq");
			break;
		case '^':
			buf_addlit(out, "\\(ha");
			break;
		case '~':
			buf_addlit(out, "\\(ti");
			break;
		default:
			buf_addch(out, *text);
		}
	}
}

static void one_line(struct buf *out, const char *text, size_t len)
{
	char line[512];

	/* A request begins with a dot; an empty character in front makes it text. */
	if (len && *text == '.')
		buf_addlit(out, "\\&");
	while (len) {
		size_t n = len < sizeof(line) - 1 ? len : sizeof(line) - 1;

		memcpy(line, text, n);
		line[n] = '\0';
		roff_text(out, line);
		text += n;
		len -= n;
	}
	buf_addch(out, '\n');
}

void roff_line(struct buf *out, const char *text)
{
	one_line(out, text, strlen(text));
}

void roff_verbatim(struct buf *out, const char *lines)
{
	buf_addlit(out, ".nf\n");
	for (;;) {
		size_t n = strcspn(lines, "\n");

		one_line(out, lines, n);
		if (!lines[n])
			break;
		lines += n + 1;
	}
	buf_addlit(out, ".fi\n");
}

void roff_title(struct buf *out, const char *title, int section, const char *manual)
{
	buf_addf(out, ".\\\" Generated; see `herald help manual`.\n.TH %s %d \"\" \"herald " HERALD_VERSION "\" \"%s\"\n",
	         title, section, manual);
	/* Neither hyphenated nor spaced out: most of it are names. */
	buf_addlit(out, ".nh\n.ad l\n");
}

void roff_section(struct buf *out, const char *heading)
{
	buf_addlit(out, ".SH ");
	for (; *heading; heading++)
		buf_addch(out, (char)toupper((unsigned char)*heading));
	buf_addch(out, '\n');
}
