/** Shows on the page what nothing caught, such as that a browser has no WebGPU. */
const show = (error: unknown): void =>
  document.body.append(Object.assign(document.createElement('p'), { role: 'alert', textContent: String(error) }));
addEventListener('error', ({ message }) => show(message));
addEventListener('unhandledrejection', ({ reason }) => show(reason));
