/* why: sends the explanation line by line. */
#include <string.h>
#include <sysexits.h>

#include "strbuf.h"

#include "dispatcher.h"

#include "connection.h"
#include "explain.h"
#include "message_json.h"
#include "request.h"

static void on_found(struct control_request *request, const struct spool_row *rows, size_t count)
{
    struct json_context context = { request->host->dispatcher, dispatcher_lane_find,
                                    request->now_ms / 1000 };
    AUTO_STRBUF struct strbuf text;

    strbuf_init(&text);
    explain_message(rows, count, &context, request->is_admin, &text);
    for (char *line = text.data; *line != '\0';) {
        char *end = line + strcspn(line, "\n");
        char *next = *end != '\0' ? end + 1 : end;
        *end = '\0';
        control_answer(request, json_pack("{s:o}", "text", json_escaped(line)));
        line = next;
    }
    control_end(request, EX_OK, NULL);
}

void control_why(struct control_request *request)
{
    control_find(request, on_found);
}
