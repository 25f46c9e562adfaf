// The figure that starts by itself, computed instead of played: particles flow along the score of the law that it shows,
// and a click drops more of them. Its picture and its frames stay below, for whoever takes a control.
"use strict";

const FLOWING = { n: 2500, dropped: 400 };

class Flow {
  constructor(explorer) {
    const { image, opens } = explorer, state = read(opens.addresses[opens.at[explorer.index(explorer.state)]]);
    this.explorer = explorer;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "explore-flow";
    this.canvas.setAttribute("aria-hidden", "true"); // the picture below says what is seen
    image.after(this.canvas);
    const far = Math.max(...state.modes.map((mode) => Math.max(Math.abs(mode.x), Math.abs(mode.y) * 4 / 3) + 4 * mode.std));
    this.stage = new Stage(this.canvas, { left: -far, right: far, bottom: -0.75 * far, top: 0.75 * far });
    this.law = new Mixture(state.modes);
    this.stepSize = state.tau;
    this.particles = new Particles(FLOWING.n, 1);
    this.particles.begin("white noise", this.law, this.stage.extent, far / 2);
    this.colours = coloursByStart(this.particles);
    this.steps = 0;
    this.stage.setGround(this.law, this.law);
    this.canvas.addEventListener("click", (event) => this.drop(...this.stage.toPlane(event)));
    this.frame();
  }
  frame() {
    this.waiting = requestAnimationFrame(() => this.frame());
    if (this.stage.fit()) this.stage.setGround(this.law, this.law);
    this.particles.step(this.law, this.stepSize, 1);
    this.stage.draw(this.particles, this.colours);
    if (this.steps++ % 6 === 0) this.explorer.moving.output.textContent = `${this.steps} steps`;
  }
  drop(x, y) { // in a cloud around the pointer
    const { particles, colours } = this, { dropped, n } = FLOWING, from = Math.floor(particles.generator.uniform() * (n - dropped));
    const cloud = new Particles(dropped, this.steps);
    cloud.generator.fillNormal(cloud.x, cloud.y);
    for (let i = 0; i < dropped; i++) {
      particles.x[from + i] = x + 0.1 * cloud.x[i];
      particles.y[from + i] = y + 0.1 * cloud.y[i];
    }
    colours.fill(INK, from, from + dropped);
  }
  stop() {
    cancelAnimationFrame(this.waiting);
    this.canvas.remove();
    this.explorer.moving.say();
  }
}
