"""Where state lives: who may call (directory), what was called (journal), what is served (catalog)."""
