# A question in letters that no token of the model holds is told of; English is not.
[ -f "$ROOT/models/tabletop.gguf" ] || { echo "SKIP: models/tabletop.gguf is absent" >&2; exit 77; }
$SO ask --quiet "星是什么颜色?" >/dev/null
$SO ask --quiet "Qué color?" >/dev/null
$SO talk --text "你好" 2>&1 >/dev/null | grep note >&2
$SO ask --quiet "What is the opposite of wet?"
