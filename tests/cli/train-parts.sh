$SO train tabletop --parts
$SO train tabletop there --part nose
