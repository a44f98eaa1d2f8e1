# No verb is a mistake of usage; so is one that does not exist.
$SO 2>&1 >/dev/null | head -1 >&2
$SO sing
