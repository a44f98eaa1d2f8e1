$SO data tabletop there --scenes many
$SO data tabletop there --turns 17
