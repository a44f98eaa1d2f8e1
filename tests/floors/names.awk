# Names that would be looked for and found twice: types that headers show, or that begin so_, defined in two files. Types
# of one .c file are local, as statics are, and may share a name with those of another. Prints "type: files".
# SPDX-License-Identifier: Apache-2.0
function note(name, kind) {
    if ((name, kind, FILENAME) in seen) return
    seen[name, kind, FILENAME] = 1
    places[name, kind] = places[name, kind] " " FILENAME
    times[name, kind]++
    if (FILENAME ~ /\.h$/ || name ~ /^so_/) shown[name, kind] = name
}
/^} [a-z_0-9]+;$/ { note(substr($2, 1, length($2) - 1), "whole") }
/^typedef .*[ *][a-z_0-9]+;$/ {
    name = $NF
    gsub(/[*;]/, "", name)
    note(name, $0 == "typedef struct " name " " name ";" ? "opaque" : "whole")
}
END { for (key in shown) if (times[key] > 1) print shown[key] ":" places[key] }
