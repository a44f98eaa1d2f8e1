#!/bin/sh
# The tree as its .clang-format has it, one number for the version, and no document cited that is not here. Writes TAP.
# SPDX-License-Identifier: Apache-2.0
set -u
cd "$(dirname "$0")/../.." || exit 2
echo 1..3
tool=
for name in clang-format-14 clang-format; do
    # Other versions break lines elsewhere.
    if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then tool=$name && break; fi
done
if [ -z "$tool" ]; then
    echo "# SKIP: clang-format of version 14 is absent" >&2
    echo "not ok 1 # SKIP every file is formatted"
elif find src include tests tools examples -name '*.[ch]' -print0 | xargs -0 "$tool" --dry-run -Werror >&2; then
    echo "ok 1 - every file is formatted"
else
    echo "not ok 1 - every file is formatted (clang-format -i)"
fi

# CMakeLists.txt has the number; the header and the list of changes say the same.
version=$(sed -n 's/^project(.* VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
header=$(sed -n 's/^#define SO_VERSION "\(.*\)"$/\1/p' include/so.h)
changes=$(sed -n 's/^## \([0-9][0-9.]*\).*/\1/p' CHANGELOG.md | head -1)
if [ -n "$version" ] && [ "$header" = "$version" ] && [ "$changes" = "$version" ]; then echo "ok 2 - one version"; else
    echo "the version is '$version' in CMakeLists.txt, '$header' in include/so.h, '$changes' in CHANGELOG.md" >&2
    echo "not ok 2 - one version"
fi

# Documents that sources name, and what documents link to.
absent=$(
    grep -rnoE '(docs|spec)/[A-Za-z_./-]+\.(md|svg)' src include tests tools examples README.md CONTRIBUTING.md docs run | sort -u |
        while IFS=: read -r file line name; do [ -f "$name" ] || echo "$file:$line: names $name, which is absent"; done
    grep -noE '\]\([A-Za-z_./-]+\)' README.md CONTRIBUTING.md CHANGELOG.md docs/*.md docs/lab/*.md | sed 's/](\(.*\))/\1/' |
        while IFS=: read -r file line name; do
            [ -e "$(dirname "$file")/$name" ] || echo "$file:$line: links to $name, which is absent"
        done
)
if [ -z "$absent" ]; then echo "ok 3 - documents that are named exist"; else
    echo "$absent" >&2
    echo "not ok 3 - documents that are named exist"
fi
