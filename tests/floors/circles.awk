# Reads "file included" pairs and prints circles of includes, "a.h -> b.h -> a.h".
# SPDX-License-Identifier: Apache-2.0
function visit(file,    i, k, list, j, text) {
    state[file] = 1
    stack[++depth] = file
    k = split(includes[file], list, " ")
    for (i = 1; i <= k; i++) {
        if (state[list[i]] == 1) {
            text = list[i]
            for (j = depth; j > 0; j--) {
                text = stack[j] " -> " text
                if (stack[j] == list[i]) break
            }
            print text
        } else if (!state[list[i]]) visit(list[i])
    }
    state[file] = 2
    depth--
}
{ includes[$1] = includes[$1] " " $2; files[$1] = 1 }
END { for (file in files) if (!state[file]) visit(file) }
