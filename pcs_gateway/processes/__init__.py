"""The processes of one gateway: who starts them, what they share and how they talk."""
