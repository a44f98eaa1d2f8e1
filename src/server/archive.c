/* Conversations in SQLite. Words are indexed by threes of characters, so that languages without blanks are found, too.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "server/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "net/base64.h"

enum { APPLICATION = 0x736f6869 /* "sohi" */, VERSION = 1, TITLE = 80, BUSY_MS = 5000 };

struct so_archive {
    sqlite3 *db;
    char *path;
    char owner[SO_ARCHIVE_ID];
};

static const char schema[] =
    "CREATE TABLE conversation (number INTEGER PRIMARY KEY, owner TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL,"
    " made_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, UNIQUE (owner, id));"
    "CREATE INDEX by_change ON conversation (owner, changed_ms);"
    "CREATE TABLE item (number INTEGER PRIMARY KEY, conversation INTEGER NOT NULL REFERENCES conversation (number)"
    " ON DELETE CASCADE,"
    " id TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL, made_ms INTEGER NOT NULL, heard_ms INTEGER NOT NULL,"
    " UNIQUE (conversation, id));"
    "CREATE TABLE blob (number INTEGER PRIMARY KEY, item INTEGER NOT NULL REFERENCES item (number) ON DELETE CASCADE,"
    " type TEXT NOT NULL, data BLOB NOT NULL);"
    "CREATE INDEX by_item ON blob (item);"
    "CREATE VIRTUAL TABLE words USING fts5 (text, content='item', content_rowid='number', tokenize='trigram');"
    "CREATE TRIGGER item_made AFTER INSERT ON item BEGIN INSERT INTO words (rowid, text) VALUES (new.number, "
    "new.text); END;"
    "CREATE TRIGGER item_gone AFTER DELETE ON item BEGIN"
    " INSERT INTO words (words, rowid, text) VALUES ('delete', old.number, old.text); END;"
    "CREATE TRIGGER item_changed AFTER UPDATE OF text ON item BEGIN"
    " INSERT INTO words (words, rowid, text) VALUES ('delete', old.number, old.text);"
    " INSERT INTO words (rowid, text) VALUES (new.number, new.text); END;";

/* ---- statements */

static so_status failed(so_archive *h, const char *what, so_error *error)
{
    int code = sqlite3_errcode(h->db);
    so_status status = code == SQLITE_NOMEM                              ? SO_ERR_NOMEM
                       : code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? SO_ERR_FORMAT
                                                                         : SO_ERR_IO;
    return so_fail(error, status, "archive '%s': cannot %s: %s", h->path, what, sqlite3_errmsg(h->db));
}

static so_status run(so_archive *h, const char *sql, const char *what, so_error *error)
{
    return sqlite3_exec(h->db, sql, NULL, NULL, NULL) == SQLITE_OK ? SO_OK : failed(h, what, error);
}

/* Prepares and binds: 's' text, 'i' int64_t. */
static so_status prepare(so_archive *h, sqlite3_stmt **out, so_error *error, const char *sql, const char *kinds, ...)
{
    va_list args;
    *out = NULL;
    if (sqlite3_prepare_v2(h->db, sql, -1, out, NULL) != SQLITE_OK) return failed(h, "prepare a statement", error);
    va_start(args, kinds);
    int at = 1, code = SQLITE_OK;
    for (const char *k = kinds; *k && code == SQLITE_OK; k++, at++)
        code = *k == 's' ? sqlite3_bind_text(*out, at, va_arg(args, const char *), -1, SQLITE_TRANSIENT)
                         : sqlite3_bind_int64(*out, at, va_arg(args, int64_t));
    va_end(args);
    if (code == SQLITE_OK) return SO_OK;
    sqlite3_finalize(*out);
    *out = NULL;
    return failed(h, "bind a value", error);
}

/* Runs a statement that gives no rows. */
static so_status finish(so_archive *h, sqlite3_stmt *s, const char *what, so_error *error)
{
    so_status status = sqlite3_step(s) == SQLITE_DONE ? SO_OK : failed(h, what, error);
    sqlite3_finalize(s);
    return status;
}

/* The first column of the only row; *found 0 when there is none. */
static so_status number_of(so_archive *h, sqlite3_stmt *s, int64_t *number, bool *found, so_error *error)
{
    int code = sqlite3_step(s);
    *found = code == SQLITE_ROW;
    *number = *found ? sqlite3_column_int64(s, 0) : 0;
    so_status status = code == SQLITE_ROW || code == SQLITE_DONE ? SO_OK : failed(h, "read", error);
    sqlite3_finalize(s);
    return status;
}

static so_status end(so_archive *h, so_status status, so_error *error)
{
    if (status == SO_OK) status = run(h, "COMMIT", "keep", error);
    if (status != SO_OK) sqlite3_exec(h->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* ---- opening */

static so_status pragma(so_archive *h, const char *sql, int64_t *value, so_error *error)
{
    sqlite3_stmt *s;
    bool found;
    SO_TRY(prepare(h, &s, error, sql, ""));
    return number_of(h, s, value, &found, error);
}

static so_status make_tables(so_archive *h, so_error *error)
{
    char sql[128];
    SO_TRY(run(h, "BEGIN IMMEDIATE", "begin", error));
    so_status status = run(h, schema, "make the tables", error);
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION, VERSION);
    if (status == SO_OK) status = run(h, sql, "mark the file", error);
    return end(h, status, error);
}

so_status so_archive_bytes(so_archive *h, int64_t *bytes, so_error *error)
{
    int64_t pages, unused, size;
    SO_TRY(pragma(h, "PRAGMA page_count", &pages, error));
    SO_TRY(pragma(h, "PRAGMA freelist_count", &unused, error));
    SO_TRY(pragma(h, "PRAGMA page_size", &size, error));
    *bytes = (pages - unused) * size;
    return SO_OK;
}

static so_status check_file(so_archive *h, so_error *error)
{
    int64_t application, version, tables;
    SO_TRY(pragma(h, "PRAGMA application_id", &application, error));
    SO_TRY(pragma(h, "PRAGMA user_version", &version, error));
    SO_TRY(pragma(h, "SELECT count(*) FROM sqlite_master", &tables, error));
    if (application == 0 && version == 0 && tables == 0) return make_tables(h, error);
    if (application != APPLICATION)
        return so_fail(error, SO_ERR_FORMAT,
                       "'%s' is a database of another program, expected an archive of conversations", h->path);
    if (version == VERSION) return SO_OK;
    return so_fail(error, SO_ERR_FORMAT, "archive '%s' has version %lld, expected %d", h->path, (long long)version,
                   VERSION);
}

static so_status open_file(so_archive *h, so_error *error)
{
    /* SQLite would make it readable by everybody. */
    int fd = open(h->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return so_fail(error, SO_ERR_IO, "cannot open the archive '%s': %s", h->path, strerror(errno));
    close(fd);
    if (sqlite3_open_v2(h->path, &h->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return h->db ? failed(h, "open it", error) : so_fail(error, SO_ERR_NOMEM, "no memory for the archive");
    sqlite3_busy_timeout(h->db, BUSY_MS);
    SO_TRY(
        run(h, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", "set it up", error));
    return check_file(h, error);
}

so_status so_archive_open(so_archive **out, const char *path, so_error *error)
{
    *out = NULL;
    so_archive *h = calloc(1, sizeof *h);
    if (h) h->path = strdup(path);
    so_status status = h && h->path ? open_file(h, error) : so_fail(error, SO_ERR_NOMEM, "no memory for the archive");
    if (status == SO_OK)
        *out = h;
    else
        so_archive_close(&h);
    return status;
}

void so_archive_close(so_archive **archive)
{
    if (!archive || !*archive) return;
    sqlite3_close((*archive)->db);
    free((*archive)->path);
    free(*archive);
    *archive = NULL;
}

void so_archive_owner(so_archive *h, const char *owner) { snprintf(h->owner, sizeof h->owner, "%s", owner); }

/* ---- keeping */

static bool is_id(const char *id) { return id && id[0] && strlen(id) < SO_ARCHIVE_ID; }

/* The first words of a text, cut before a character's middle. */
static void title_of(const char *text, char title[TITLE + 4])
{
    size_t n = strlen(text);
    if (n > TITLE) {
        for (n = TITLE; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;) n--;
        snprintf(title, TITLE + 4, "%.*s\xe2\x80\xa6", (int)n, text);
        return;
    }
    snprintf(title, TITLE + 4, "%s", text);
}

/* The conversation's row, whose title is the first thing that the user says. */
static so_status keep_conversation(so_archive *h, const so_archive_item *item, so_error *error)
{
    sqlite3_stmt *s;
    char title[TITLE + 4] = "";
    if (strcmp(item->role, "user") == 0) title_of(item->text, title);
    SO_TRY(prepare(h, &s, error,
                   "INSERT INTO conversation (owner, id, title, made_ms, changed_ms) VALUES (?1, ?2, ?3, ?4, ?4)"
                   " ON CONFLICT (owner, id) DO UPDATE SET"
                   " changed_ms = max(changed_ms, excluded.changed_ms), title = CASE WHEN title = '' THEN "
                   "excluded.title ELSE title END",
                   "sssi", h->owner, item->conversation, title, item->made_ms));
    return finish(h, s, "keep a conversation", error);
}

static so_status keep_row(so_archive *h, const so_archive_item *item, int64_t *number, so_error *error)
{
    sqlite3_stmt *s;
    bool found;
    SO_TRY(prepare(h, &s, error,
                   "INSERT INTO item (conversation, id, role, text, made_ms, heard_ms) VALUES"
                   " ((SELECT number FROM conversation WHERE owner = ?1 AND id = ?2), ?3, ?4, ?5, ?6, ?7)"
                   " ON CONFLICT (conversation, id) DO UPDATE SET text = excluded.text, heard_ms = excluded.heard_ms",
                   "sssssii", h->owner, item->conversation, item->id, item->role, item->text, item->made_ms,
                   item->heard_ms));
    SO_TRY(finish(h, s, "keep an item", error));
    SO_TRY(prepare(h, &s, error,
                   "SELECT number FROM item WHERE id = ?3 AND conversation ="
                   " (SELECT number FROM conversation WHERE owner = ?1 AND id = ?2)",
                   "sss", h->owner, item->conversation, item->id));
    return number_of(h, s, number, &found, error);
}

static so_status keep_blobs(so_archive *h, const so_archive_item *item, int64_t number, so_error *error)
{
    sqlite3_stmt *s;
    if (!item->n_blobs) return SO_OK;
    SO_TRY(prepare(h, &s, error, "DELETE FROM blob WHERE item = ?", "i", number));
    SO_TRY(finish(h, s, "replace sound and pictures", error));
    for (int i = 0; i < item->n_blobs; i++) {
        const so_archive_blob *b = &item->blob[i];
        SO_TRY(prepare(h, &s, error, "INSERT INTO blob (item, type, data) VALUES (?1, ?2, ?3)", "is", number, b->type));
        int code =
            b->size ? sqlite3_bind_blob64(s, 3, b->data, b->size, SQLITE_STATIC) : sqlite3_bind_zeroblob(s, 3, 0);
        if (code != SQLITE_OK) {
            sqlite3_finalize(s);
            return failed(h, "bind bytes", error);
        }
        SO_TRY(finish(h, s, "keep sound or a picture", error));
    }
    return SO_OK;
}

so_status so_archive_keep(so_archive *h, const so_archive_item *item, so_error *error)
{
    int64_t number;
    if (!is_id(item->conversation) || !is_id(item->id) || item->n_blobs < 0 || item->n_blobs > SO_ARCHIVE_BLOBS)
        return so_fail(error, SO_ERR_ARG, "an item to keep needs names of 1 to %d bytes and at most %d blobs",
                       SO_ARCHIVE_ID - 1, SO_ARCHIVE_BLOBS);
    SO_TRY(run(h, "BEGIN IMMEDIATE", "begin", error));
    so_status status = keep_conversation(h, item, error);
    if (status == SO_OK) status = keep_row(h, item, &number, error);
    if (status == SO_OK) status = keep_blobs(h, item, number, error);
    return end(h, status, error);
}

static so_status delete_with(so_archive *h, sqlite3_stmt *s, const char *what, so_error *error)
{
    SO_TRY(finish(h, s, "delete", error));
    return sqlite3_changes(h->db) ? SO_OK : so_fail(error, SO_ERR_MISSING, "no %s", what);
}

so_status so_archive_delete_item(so_archive *h, const char *conversation, const char *id, so_error *error)
{
    sqlite3_stmt *s;
    SO_TRY(prepare(h, &s, error,
                   "DELETE FROM item WHERE id = ?3 AND conversation ="
                   " (SELECT number FROM conversation WHERE owner = ?1 AND id = ?2)",
                   "sss", h->owner, conversation, id));
    return delete_with(h, s, "such item", error);
}

so_status so_archive_delete(so_archive *h, const char *conversation, so_error *error)
{
    sqlite3_stmt *s;
    SO_TRY(prepare(h, &s, error, "DELETE FROM conversation WHERE owner = ? AND id = ?", "ss", h->owner, conversation));
    return delete_with(h, s, "such conversation", error);
}

so_status so_archive_delete_all(so_archive *h, so_error *error)
{
    sqlite3_stmt *s;
    SO_TRY(prepare(h, &s, error, "DELETE FROM conversation WHERE owner = ?", "s", h->owner));
    SO_TRY(finish(h, s, "delete", error));
    return run(h, "PRAGMA wal_checkpoint(TRUNCATE); VACUUM", "give room back", error);
}

/* ---- telling */

static json_t *text_at(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    json_t *json = json_stringn(text ? text : "", (size_t)sqlite3_column_bytes(s, column));
    return json ? json : json_string("");
}
static json_t *number_at(sqlite3_stmt *s, int column) { return json_integer(sqlite3_column_int64(s, column)); }

/* Every row as an object: `names` of its columns, those that begin with '#' are numbers. */
static so_status rows(so_archive *h, sqlite3_stmt *s, const char *const *names, int n, json_t **out, so_error *error)
{
    int code;
    json_t *list = json_array();
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        json_t *row = json_object();
        for (int i = 0; i < n; i++)
            json_object_set_new(row, names[i] + (names[i][0] == '#'),
                                names[i][0] == '#' ? number_at(s, i) : text_at(s, i));
        json_array_append_new(list, row);
    }
    so_status status = code == SQLITE_DONE ? SO_OK : failed(h, "read", error);
    sqlite3_finalize(s);
    *out = list;
    if (status != SO_OK || !list) {
        json_decref(list);
        *out = NULL;
    }
    return status == SO_OK && !list ? so_fail(error, SO_ERR_NOMEM, "no memory for a list") : status;
}

static int64_t at_most(int most) { return most > 0 && most < SO_ARCHIVE_MOST ? most : SO_ARCHIVE_MOST; }

so_status so_archive_list(so_archive *h, int64_t before_ms, int most, json_t **out, so_error *error)
{
    static const char *const names[] = {"id", "title", "#made_ms", "#changed_ms", "#items"};
    sqlite3_stmt *s;
    *out = NULL;
    SO_TRY(prepare(h, &s, error,
                   "SELECT id, title, made_ms, changed_ms, (SELECT count(*) FROM item WHERE conversation = c.number)"
                   " FROM conversation c WHERE owner = ?1 AND changed_ms < ?2 ORDER BY changed_ms DESC, id LIMIT ?3",
                   "sii", h->owner, before_ms > 0 ? before_ms : INT64_MAX, at_most(most)));
    return rows(h, s, names, 5, out, error);
}

static json_t *blob_data(sqlite3_stmt *s, int column)
{
    const void *data = sqlite3_column_blob(s, column);
    size_t size = (size_t)sqlite3_column_bytes(s, column);
    char *text = malloc(so_base64_length(size) + 1);
    if (text) so_base64_write(data, size, text);
    json_t *json = text ? json_string(text) : NULL;
    free(text);
    return json;
}

static so_status blobs_of(so_archive *h, int64_t item, bool whole, json_t **out, so_error *error)
{
    sqlite3_stmt *s;
    int code;
    SO_TRY(prepare(h, &s, error,
                   whole ? "SELECT number, type, length(data), data FROM blob WHERE item = ? ORDER BY number"
                         : "SELECT number, type, length(data) FROM blob WHERE item = ? ORDER BY number",
                   "i", item));
    *out = json_array();
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        json_t *blob =
            json_pack("{s:o, s:o, s:o}", "number", number_at(s, 0), "type", text_at(s, 1), "size", number_at(s, 2));
        if (whole) json_object_set_new(blob, "data", blob_data(s, 3));
        json_array_append_new(*out, blob);
    }
    so_status status = code == SQLITE_DONE ? SO_OK : failed(h, "read", error);
    sqlite3_finalize(s);
    return status;
}

so_status so_archive_get(so_archive *h, const char *conversation, bool whole, json_t **out, so_error *error)
{
    static const char *const heads[] = {"id", "title", "#made_ms", "#changed_ms"};
    static const char *const names[] = {"id", "role", "text", "#made_ms", "#heard_ms", "#number"};
    sqlite3_stmt *s;
    json_t *head = NULL, *items = NULL, *item;
    size_t i;
    *out = NULL;
    SO_TRY(prepare(h, &s, error, "SELECT id, title, made_ms, changed_ms FROM conversation WHERE owner = ? AND id = ?",
                   "ss", h->owner, conversation));
    SO_TRY(rows(h, s, heads, 4, &head, error));
    so_status status = json_array_size(head) ? SO_OK : so_fail(error, SO_ERR_MISSING, "no such conversation");
    if (status == SO_OK)
        status = prepare(h, &s, error,
                         "SELECT id, role, text, made_ms, heard_ms, number FROM item WHERE conversation ="
                         " (SELECT number FROM conversation WHERE owner = ? AND id = ?) ORDER BY number",
                         "ss", h->owner, conversation);
    if (status == SO_OK) status = rows(h, s, names, 6, &items, error);
    json_array_foreach(items, i, item)
    {
        json_t *blobs = NULL;
        if (status == SO_OK)
            status = blobs_of(h, json_integer_value(json_object_get(item, "number")), whole, &blobs, error);
        json_object_del(item, "number");
        json_object_set_new(item, "blobs", blobs);
    }
    if (status == SO_OK) {
        *out = json_incref(json_array_get(head, 0));
        json_object_set(*out, "items", items);
    }
    json_decref(items);
    json_decref(head);
    return status;
}

/* Words in quotes for the index; false when one is too short for it, which looks at three characters at a time. */
static bool match_of(const char *query, char *match, size_t size)
{
    size_t used = 0;
    for (const char *p = query; *p;) {
        size_t n = strcspn(p, " \t\n"), characters = 0;
        for (size_t i = 0; i < n; i++) characters += ((unsigned char)p[i] & 0xc0) != 0x80;
        if (n && characters < 3) return false;
        if (n && used + 2 * n + 4 > size) return false;
        if (n) match[used++] = '"';
        for (size_t i = 0; i < n; i++) {
            if (p[i] == '"') match[used++] = '"';
            match[used++] = p[i];
        }
        if (n) match[used++] = '"', match[used++] = ' ';
        p += n + (p[n] != 0);
    }
    match[used] = 0;
    return used > 0;
}

so_status so_archive_search(so_archive *h, const char *query, int most, json_t **out, so_error *error)
{
    static const char *const names[] = {"conversation", "title", "id", "role", "text", "#made_ms"};
    static const char indexed[] =
        "SELECT c.id, c.title, i.id, i.role, i.text, i.made_ms FROM words JOIN item i ON i.number = words.rowid"
        " JOIN conversation c ON c.number = i.conversation WHERE words MATCH ?1 AND c.owner = ?3 ORDER BY i.made_ms "
        "DESC"
        " LIMIT ?2";
    static const char looked[] =
        "SELECT c.id, c.title, i.id, i.role, i.text, i.made_ms FROM item i JOIN conversation c ON c.number ="
        " i.conversation WHERE instr(lower(i.text), lower(?1)) > 0 AND c.owner = ?3 ORDER BY i.made_ms DESC LIMIT ?2";
    sqlite3_stmt *s;
    char match[1024];
    *out = NULL;
    if (!query[strspn(query, " \t\n")]) return so_fail(error, SO_ERR_ARG, "nothing to search for");
    if (match_of(query, match, sizeof match))
        SO_TRY(prepare(h, &s, error, indexed, "sis", match, at_most(most), h->owner));
    else
        SO_TRY(prepare(h, &s, error, looked, "sis", query, at_most(most), h->owner));
    return rows(h, s, names, 6, out, error);
}

so_status so_archive_blob_get(so_archive *h, int64_t number, void **data, size_t *size, char type[64], so_error *error)
{
    sqlite3_stmt *s;
    *data = NULL;
    *size = 0;
    SO_TRY(prepare(h, &s, error,
                   "SELECT b.type, b.data FROM blob b JOIN item i ON i.number = b.item JOIN conversation c"
                   " ON c.number = i.conversation WHERE b.number = ?1 AND c.owner = ?2",
                   "is", number, h->owner));
    int code = sqlite3_step(s);
    so_status status = SO_OK;
    if (code == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(s, 1);
        *size = (size_t)sqlite3_column_bytes(s, 1);
        *data = malloc(*size + 1);
        if (*data && *size) memcpy(*data, bytes, *size);
        snprintf(type, 64, "%s", (const char *)sqlite3_column_text(s, 0));
        if (!*data) status = so_fail(error, SO_ERR_NOMEM, "no memory for %zu bytes", *size);
    } else {
        status =
            code == SQLITE_DONE ? so_fail(error, SO_ERR_MISSING, "no such sound or picture") : failed(h, "read", error);
    }
    sqlite3_finalize(s);
    return status;
}
