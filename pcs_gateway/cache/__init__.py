"""The cache: stored responses in three levels, by the rules of RFC 9111."""
