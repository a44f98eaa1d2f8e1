/* Writing a spreadsheet: five small files of XML in a zip without compression.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/scoring/sheet.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/string.h"

/* CRC-32 as zip has it. */
static uint32_t crc32_of(const char *data, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned char)data[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void put16(unsigned char *out, unsigned value)
{
    out[0] = (unsigned char)(value & 255);
    out[1] = (unsigned char)(value >> 8 & 255);
}
static void put32(unsigned char *out, uint32_t value)
{
    put16(out, value & 0xffff);
    put16(out + 2, value >> 16);
}

typedef struct zip {
    so_string body, directory;
    unsigned n;
} zip;

/* Fields that both kinds of header have, from the version on. */
static void common(unsigned char *h, const char *name, const char *data, size_t size)
{
    put16(h, 20);
    put16(h + 8, 0x21); /* 1 January 1980 */
    put32(h + 10, crc32_of(data, size));
    put32(h + 14, (uint32_t)size);
    put32(h + 18, (uint32_t)size);
    put16(h + 22, (unsigned)strlen(name));
}

static so_status add_file(zip *z, const char *name, const char *data, size_t size, so_error *error)
{
    unsigned char local[30] = "PK\3\4", entry[46] = "PK\1\2";
    if (size > UINT32_MAX / 2 || z->body.size > UINT32_MAX / 2)
        return so_fail(error, SO_ERR_LIMIT, "a sheet above 2 GiB");
    common(local + 4, name, data, size);
    common(entry + 6, name, data, size);
    put16(entry + 4, 20);
    put32(entry + 42, (uint32_t)z->body.size);
    z->n++;
    SO_TRY(so_string_add(&z->body, (char *)local, sizeof local, error));
    SO_TRY(so_string_put(&z->body, name, error));
    SO_TRY(so_string_add(&z->body, data, size, error));
    SO_TRY(so_string_add(&z->directory, (char *)entry, sizeof entry, error));
    return so_string_put(&z->directory, name, error);
}

static so_status finish(zip *z, const char *path, so_error *error)
{
    unsigned char end[22] = "PK\5\6";
    put16(end + 8, z->n);
    put16(end + 10, z->n);
    put32(end + 12, (uint32_t)z->directory.size);
    put32(end + 16, (uint32_t)z->body.size);
    SO_TRY(so_string_add(&z->body, z->directory.data, z->directory.size, error));
    SO_TRY(so_string_add(&z->body, (char *)end, sizeof end, error));
    return so_file_write(path, z->body.data, z->body.size, error);
}

/* Text with XML's marks escaped; characters that XML cannot hold become blanks. */
static so_status escape(so_string *out, const char *text, so_error *error)
{
    for (; *text; text++) {
        const char *mark = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        char c = (unsigned char)*text < 32 && *text != '\n' && *text != '\t' ? ' ' : *text;
        SO_TRY(mark ? so_string_put(out, mark, error) : so_string_add(out, &c, 1, error));
    }
    return SO_OK;
}

static so_status cell(so_string *out, const char *text, so_error *error)
{
    SO_TRY(so_string_put(out, "<c t=\"inlineStr\"><is><t xml:space=\"preserve\">", error));
    SO_TRY(escape(out, text ? text : "", error));
    return so_string_put(out, "</t></is></c>", error);
}

static so_status rows_of(so_string *out, const json_t *rows, so_error *error)
{
    static const char *const heads[] = {"index", "question", "A", "B", "C", "D", "prediction"};
    const json_t *row;
    size_t i;
    SO_TRY(so_string_put(out, "<row>", error));
    for (int k = 0; k < 7; k++) SO_TRY(cell(out, heads[k], error));
    json_array_foreach((json_t *)(uintptr_t)rows, i, row)
    {
        const json_t *choices = json_object_get(row, "choices");
        SO_TRY(so_string_put(out, "</row>\n<row>", error));
        SO_TRY(cell(out, json_string_value(json_object_get(row, "index")), error));
        SO_TRY(cell(out, json_string_value(json_object_get(row, "question")), error));
        for (size_t k = 0; k < 4; k++) SO_TRY(cell(out, json_string_value(json_array_get(choices, k)), error));
        SO_TRY(cell(out, json_string_value(json_object_get(row, "prediction")), error));
    }
    return so_string_put(out, "</row>", error);
}

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define PACKAGE "http://schemas.openxmlformats.org/package/2006/"
#define OFFICE "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
#define MAIN "http://schemas.openxmlformats.org/spreadsheetml/2006/main"

static const struct {
    const char *name, *text;
} fixed[] = {
    {"[Content_Types].xml",
     XML "<Types xmlns=\"" PACKAGE "content-types\"><Default Extension=\"rels\" "
         "ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>"
         "<Override PartName=\"/xl/workbook.xml\" "
         "ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>"
         "<Override PartName=\"/xl/worksheets/sheet1.xml\" "
         "ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/></Types>"},
    {"_rels/.rels", XML "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" Type=\"" OFFICE
                        "/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"},
    {"xl/workbook.xml", XML "<workbook xmlns=\"" MAIN "\" xmlns:r=\"" OFFICE
                            "\"><sheets><sheet name=\"Sheet1\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"},
    {"xl/_rels/workbook.xml.rels",
     XML "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" Type=\"" OFFICE
         "/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"},
};

so_status so_sheet_write(const char *path, const json_t *rows, so_error *error)
{
    zip z = {0};
    so_string sheet = {0};
    so_status status = so_string_put(&sheet, XML "<worksheet xmlns=\"" MAIN "\"><sheetData>", error);
    if (status == SO_OK) status = rows_of(&sheet, rows, error);
    if (status == SO_OK) status = so_string_put(&sheet, "</sheetData></worksheet>", error);
    for (int i = 0; i < 4 && status == SO_OK; i++)
        status = add_file(&z, fixed[i].name, fixed[i].text, strlen(fixed[i].text), error);
    if (status == SO_OK) status = add_file(&z, "xl/worksheets/sheet1.xml", sheet.data, sheet.size, error);
    if (status == SO_OK) status = finish(&z, path, error);
    so_string_clear(&sheet);
    so_string_clear(&z.body);
    so_string_clear(&z.directory);
    return status;
}
