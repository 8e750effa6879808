// Presses the only button of the page behind a sign-in link; served in development alone, where the link is printed.
document.querySelector('form')?.requestSubmit();
