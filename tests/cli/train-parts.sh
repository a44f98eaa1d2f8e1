$SO train tabletop --parts | head -3
$SO train tabletop there --part nose 2>error
status=$?
sed 's/its parts are.*//' error >&2
exit $status
