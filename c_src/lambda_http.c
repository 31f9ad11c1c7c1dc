#include "lambda_http.h"

#include <string.h>
#include <strings.h>

struct field {
    struct drop_lambda_slice name;
    struct drop_lambda_slice value;
};

bool drop_lambda_slice_is(struct drop_lambda_slice slice, const char *text)
{
    return slice.length == strlen(text) && strncasecmp(slice.at, text, slice.length) == 0;
}

size_t drop_lambda_head_skip(const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length && (bytes[at] == '\r' || bytes[at] == '\n'))
        at++;
    return at;
}

size_t drop_lambda_head_end(const char *bytes, size_t length, size_t *scanned)
{
    const char *newline;
    while (*scanned < length && (newline = memchr(bytes + *scanned, '\n', length - *scanned))) {
        /* What follows this newline decides; if it is not there yet, the next look begins here. */
        *scanned = (size_t)(newline - bytes);
        size_t next = *scanned + 1;
        if (next < length && bytes[next] == '\r')
            next++;
        if (next >= length)
            return 0;
        if (bytes[next] == '\n')
            return next + 1;
        *scanned += 1;
    }
    *scanned = length;
    return 0;
}

/* Takes the first line off `rest`, without its end; false when there is none. */
static bool cut_line(struct drop_lambda_slice *rest, struct drop_lambda_slice *line)
{
    const char *newline = rest->length ? memchr(rest->at, '\n', rest->length) : NULL;
    if (!newline)
        return false;
    *line = (struct drop_lambda_slice){rest->at, (size_t)(newline - rest->at)};
    rest->at += line->length + 1;
    rest->length -= line->length + 1;
    if (line->length && line->at[line->length - 1] == '\r')
        line->length--;
    return true;
}

/* The piece before the first `separator` of `text` goes to `piece`, and off `text`. */
static bool cut_at(struct drop_lambda_slice *text, char separator, struct drop_lambda_slice *piece)
{
    const char *found = text->length ? memchr(text->at, separator, text->length) : NULL;
    if (!found)
        return false;
    *piece = (struct drop_lambda_slice){text->at, (size_t)(found - text->at)};
    text->at += piece->length + 1;
    text->length -= piece->length + 1;
    return true;
}

static struct drop_lambda_slice trim(struct drop_lambda_slice text)
{
    while (text.length && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.length--;
    }
    while (text.length &&
           (text.at[text.length - 1] == ' ' || text.at[text.length - 1] == '\t'))
        text.length--;
    return text;
}

static bool is_token(struct drop_lambda_slice text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.at[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (!letter && !(byte >= '0' && byte <= '9') && (!byte || !strchr(others, byte)))
            return false;
    }
    return text.length > 0;
}

/* No control characters but TAB; a CR that ends no line is one. */
static bool is_visible(struct drop_lambda_slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
            return false;
    }
    return true;
}

static bool parse_field(struct drop_lambda_slice line, struct field *field)
{
    if (!cut_at(&line, ':', &field->name) || !is_token(field->name) || !is_visible(line))
        return false;
    field->value = trim(line);
    return true;
}

/* Decimal digits only, and no number that a sum could overflow. */
static bool parse_length(struct drop_lambda_slice text, uint64_t *length)
{
    *length = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        *length = *length * 10 + (uint64_t)(text.at[i] - '0');
    }
    return text.length > 0 && text.length <= 18;
}

static int parse_request_line(struct drop_lambda_slice line, struct drop_lambda_head *head)
{
    struct drop_lambda_slice method, target, path;
    if (!cut_at(&line, ' ', &method) || !is_token(method) || !cut_at(&line, ' ', &target))
        return 400;
    if (target.length == 0 || target.at[0] != '/' || !is_visible(target))
        return 400;
    bool newer = drop_lambda_slice_is(line, "HTTP/1.1");
    if (!newer && !drop_lambda_slice_is(line, "HTTP/1.0"))
        return line.length > 5 && strncmp(line.at, "HTTP/", 5) == 0 ? 505 : 400;
    bool get = method.length == 3 && memcmp(method.at, "GET", 3) == 0;
    bool post = method.length == 4 && memcmp(method.at, "POST", 4) == 0;
    head->method = get ? DROP_LAMBDA_GET : post ? DROP_LAMBDA_POST : DROP_LAMBDA_OTHER;
    head->path = cut_at(&target, '?', &path) ? path : target;
    head->keep_alive = newer;
    return 0;
}

static void take_connection(struct drop_lambda_slice value, struct drop_lambda_head *head)
{
    bool more = true;
    while (more) {
        struct drop_lambda_slice option = value;
        more = cut_at(&value, ',', &option);
        option = trim(option);
        if (drop_lambda_slice_is(option, "close"))
            head->keep_alive = false;
        else if (drop_lambda_slice_is(option, "keep-alive"))
            head->keep_alive = true;
    }
}

/* What this program wants to know of a field. A second length or coding is how requests are
 * smuggled past a parser, so it is refused even if it says the same. */
static int take_field(const struct field *field, struct drop_lambda_head *head, bool *has_length)
{
    if (drop_lambda_slice_is(field->name, "Content-Length")) {
        if (*has_length || !parse_length(field->value, &head->content_length))
            return 400;
        *has_length = true;
    } else if (drop_lambda_slice_is(field->name, "Transfer-Encoding")) {
        if (head->chunked)
            return 400;
        if (!drop_lambda_slice_is(field->value, "chunked"))
            return 501;
        head->chunked = true;
    } else if (drop_lambda_slice_is(field->name, "Connection")) {
        take_connection(field->value, head);
    } else if (drop_lambda_slice_is(field->name, "Expect")) {
        if (!drop_lambda_slice_is(field->value, "100-continue"))
            return 417;
        head->expects_continue = true;
    } else if (drop_lambda_slice_is(field->name, "Lambda-Runtime-Function-Error-Type")) {
        head->error_type = field->value;
    } else if (drop_lambda_slice_is(field->name, "Lambda-Runtime-Function-Response-Mode")) {
        head->response_mode = field->value;
    }
    return 0;
}

int drop_lambda_head_parse(const char *bytes, size_t length, struct drop_lambda_head *head)
{
    struct drop_lambda_slice rest = {bytes, length}, line;
    *head = (struct drop_lambda_head){0};
    bool has_length = false;
    int status = cut_line(&rest, &line) ? parse_request_line(line, head) : 400;
    for (unsigned count = 0; status == 0 && cut_line(&rest, &line) && line.length; count++) {
        struct field field;
        if (count == DROP_LAMBDA_FIELDS_MAX)
            return 431;
        status = parse_field(line, &field) ? take_field(&field, head, &has_length) : 400;
    }
    return status == 0 && has_length && head->chunked ? 400 : status;
}

int drop_lambda_trailers_parse(const char *bytes, size_t length,
                               struct drop_lambda_trailers *trailers)
{
    struct drop_lambda_slice rest = {bytes, length}, line;
    *trailers = (struct drop_lambda_trailers){0};
    for (unsigned count = 0; cut_line(&rest, &line) && line.length; count++) {
        struct field field;
        if (count == DROP_LAMBDA_FIELDS_MAX)
            return 431;
        if (!parse_field(line, &field))
            return 400;
        if (drop_lambda_slice_is(field.name, "Lambda-Runtime-Function-Error-Type"))
            trailers->error_type = field.value;
        else if (drop_lambda_slice_is(field.name, "Lambda-Runtime-Function-Error-Body"))
            trailers->error_body = field.value;
    }
    return 0;
}
