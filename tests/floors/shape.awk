# Functions of sources in the tree's own format: a definition begins in column 1, its body stands between "{" and "}" there.
# Prints "file:line: what" for bodies of more than LINES lines and for declarations of more than PARAMETERS parameters,
# function types and pointers among them. Usage: awk -v LINES=80 -v PARAMETERS=8 -f shape.awk FILE...
# SPDX-License-Identifier: Apache-2.0
function strip(line) {
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    gsub(/\/\*([^*]|\*[^\/])*\*\//, "", line)
    sub(/\/\*.*/, "", line)
    gsub(/__attribute__ *\(\([^()]*(\([^()]*\))?[^()]*\)\)/, "", line)
    return line
}
# Parameters of the list that begins at the first "(" of text.
function count(text,    i, c, depth, n) {
    for (i = index(text, "("); i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "(") depth++
        if (c == ")" && --depth == 0) break
        if (c == "," && depth == 1) n++
    }
    return n + 1
}
function check(text, who, at,    n) {
    n = count(text)
    if (n > PARAMETERS) printf "%s:%d: %s has %d parameters\n", FILENAME, at, who, n
}
FNR == 1 { head = pointer = ""; body = at = comment = 0 }
body {
    if ($0 == "}") {
        if (FNR - body + 1 > LINES) printf "%s:%d: %s has %d lines\n", FILENAME, at, name, FNR - body + 1
        body = at = 0
        head = ""
    }
    next
}
comment { if ($0 ~ /\*\//) comment = 0; next }
{ line = strip($0) }
$0 ~ /\/\*/ && $0 !~ /\*\// { comment = 1 }
line ~ /\(\*[a-z_0-9]+\)\(/ || pointer != "" { # a pointer to a function: a member or a type
    if (pointer == "") where = FNR
    pointer = pointer " " line
    if (line ~ /[;{]/) {
        sub(/.*\(\*/, "", pointer)
        who = pointer
        sub(/\).*/, "", who)
        sub(/^[a-z_0-9]+\)/, "", pointer)
        check(pointer, who, where)
        pointer = ""
    }
}
line ~ /^[a-zA-Z_]/ && line !~ /^(struct|enum|union|typedef (struct|enum|union))/ { head = ""; at = FNR }
at { head = head " " line }
at && (line ~ /;$/ || $0 == "{") && head ~ /\(/ {
    name = head
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    if (name != "") check(head, name, at)
    if ($0 == "{") body = FNR
    else at = 0
    head = ""
}
line ~ /^}/ { at = 0; head = "" }
