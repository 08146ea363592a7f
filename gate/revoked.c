#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/say.h"
#include "gate/settings.h"
#include "gate/revoked.h"

#define REVOKED_MAX (1 << 20)	/* octets of the file */
#define MARK "\xef\xbb\xbf"	/* which Windows puts before UTF-8 */

/* It takes 9 octets at most for each octet of the file; while that is read anew there
 * are two. */
static struct revoked {
	char *text;		/* the file, with a NUL behind each word */
	size_t size;		/* octets of it */
	const char **word;	/* in the order of strcmp() */
	size_t n;
} revoked;

static const char *fault;	/* why the file cannot be used, once a function returned -1 */

static int
fault_is(const char *why)
{
	fault = why;
	return -1;
}

/* Reads to the end of fd, or until p[0..n) is full.  Returns the octets read, or -1
 * with errno. */
static ssize_t
read_all(int fd, char *p, size_t n)
{
	size_t at = 0;
	ssize_t got;

	while ((got = read(fd, p + at, n - at)) > 0 ||
	    (got == -1 && errno == EINTR))
		at += got > 0 ? (size_t)got : 0;
	return got == -1 ? -1 : (ssize_t)at;
}

/* Reads the file fd into r->text, with room for an octet more.  Returns 0, or -1. */
static int
revoked_fill(struct revoked *r, int fd)
{
	struct stat st;
	ssize_t got;

	if (fstat(fd, &st) == -1)
		return fault_is(strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fault_is("it is not a regular file");
	if (st.st_size > REVOKED_MAX)
		return fault_is("it has more than 1048576 bytes");
	r->size = (size_t)st.st_size;
	r->text = malloc(r->size + 1);
	if (r->text == NULL)
		return fault_is("there is no memory for it");
	got = read_all(fd, r->text, r->size + 1);
	if (got == -1)
		return fault_is(strerror(errno));
	if ((size_t)got != r->size)
		return fault_is("it changed while it was read");
	return 0;
}

static const char *
blanks_end(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* The word of a line, empty where it has none.  NULL: there is something beside it that
 * is no comment. */
static char *
line_word(char *p, char *end)
{
	char *word = p + (blanks_end(p, end) - p), *behind = word;
	const char *rest;

	if (word < end && *word != '#')
		while (behind < end && (unsigned char)*behind > ' ')
			behind++;
	rest = blanks_end(behind, end);
	if (rest < end && *rest != '#')
		return NULL;
	*behind = '\0';
	return word;
}

/* Returns 0, or -1 for a line with a word that can be neither.  What it says is not
 * told: it may be a whole token. */
static int
line_check(const char *word, size_t line)
{
	static char why[80];
	const char *what;

	if (word == NULL)
		what = "is not one jti or id";
	else if (strlen(word) > JWT_ID_MAX)
		what = "is longer than a jti or an id, 128 bytes";
	else
		return 0;
	text_put(why, sizeof(why), "line %zu %s", line, what);
	return fault_is(why);
}

static size_t
lines_count(const char *p, const char *end)
{
	size_t n = 1;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p++;
		n++;
	}
	return n;
}

static int
word_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Finds the words of r->text.  Returns 0, or -1. */
static int
revoked_sort(struct revoked *r)
{
	char *p = r->text, *end = p + r->size, *eol, *word;
	size_t line;

	if (r->size >= strlen(MARK) && memcmp(p, MARK, strlen(MARK)) == 0)
		p += strlen(MARK);
	r->word = malloc(lines_count(p, end) * sizeof(r->word[0]));
	if (r->word == NULL)
		return fault_is("there is no memory for it");
	for (line = 1; p < end; line++, p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (eol == NULL)
			eol = end;
		word = line_word(p, eol);
		if (line_check(word, line) == -1)
			return -1;
		if (*word != '\0')
			r->word[r->n++] = word;
	}
	qsort(r->word, r->n, sizeof(r->word[0]), word_order);
	return 0;
}

/* O_NONBLOCK: a FIFO would wait for its writer. */
static int
revoked_read(struct revoked *r)
{
	int fd = open(opt->revoked, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int filled;

	if (fd == -1)
		return fault_is(strerror(errno));
	filled = revoked_fill(r, fd);
	close(fd);
	return filled == -1 ? -1 : revoked_sort(r);
}

/* Puts what the file says now in the place of what it said.  Returns 0, or -1. */
static int
revoked_renew(void)
{
	struct revoked fresh = { NULL, 0, NULL, 0 }, old = revoked;
	int r = revoked_read(&fresh);

	if (r == 0) {
		revoked = fresh;
		fresh = old;
		log_event(LEVEL_INFO, "event=revoked-read entries=%zu",
		    revoked.n);
	}
	free(fresh.text);
	free(fresh.word);
	return r;
}

void
revoked_start(void)
{
	if (opt->revoked != NULL && revoked_renew() == -1)
		die("PIPEGATE_REVOKED: cannot use %.200s: %s", opt->revoked, fault);
}

int
revoked_reread(void)
{
	int r = revoked_renew();

	if (r == -1)
		log_event(LEVEL_ERROR, "event=revoked-kept entries=%zu why=\"%s\"",
		    revoked.n, fault);
	return r;
}

static int
word_is_revoked(const char *word)
{
	return revoked.n > 0 && bsearch(&word, revoked.word, revoked.n,
	    sizeof(revoked.word[0]), word_order) != NULL;
}

int
revoked_has(const char *sub, const char *jti)
{
	return word_is_revoked(sub) || word_is_revoked(jti);
}
