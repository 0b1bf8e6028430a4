"""Pure array functions: the hot loops. No classes, no checks of user input."""
